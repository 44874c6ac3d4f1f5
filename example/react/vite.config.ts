import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

const server = process.env.SERVER_URL ?? 'http://localhost:8080'

/** `npx vite example/react` shows each change of the page at once, beside a server that `npm start` has started. */
export const config = defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: '/react/',
  // Only in this repository. Elsewhere the package is found by its name.
  resolve: { alias: { 'fastify-notification/react': fileURLToPath(new URL('../../src/react/index.ts', import.meta.url)) } },
  server: {
    proxy: {
      '/notification': { target: server, ws: true },
      '/notify': { target: server },
      '/session': { target: server }
    }
  }
})

export default config
