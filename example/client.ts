import { fileURLToPath } from 'node:url'
import { buildSync } from 'esbuild'

/**
 * The client of `src/client` as one JavaScript module, made of its TypeScript, so that nothing has to be built before.
 *
 * An application needs none of this: its bundler finds `fastify-notification/client`; and where there is no bundler,
 * `node_modules/fastify-notification/dist/client` is JavaScript that can be served as it is.
 */
export function buildClient (): string {
  const { outputFiles: [file] } = buildSync({
    entryPoints: [fileURLToPath(new URL('../src/client/index.ts', import.meta.url))],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    write: false
  })
  return file!.text
}
