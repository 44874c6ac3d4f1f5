import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import { build } from 'esbuild'

/** What is bundled with another React than the one of this repository. */
const PACKAGES = ['react', 'react-dom']

/**
 * Bundles a file of `test/fixture`.
 * @param modules a folder `node_modules` with another version of React
 */
export async function bundle (name: string, { modules, platform = 'browser' }: { modules?: string | undefined, platform?: 'browser' | 'node' } = {}): Promise<string> {
  const { outputFiles: [file] } = await build({
    entryPoints: [new URL(`../fixture/${name}`, import.meta.url).pathname],
    bundle: true,
    format: platform === 'node' ? 'cjs' : 'esm',
    platform,
    target: 'es2022',
    define: { 'process.env.NODE_ENV': '"development"' },
    ...modules !== undefined && { alias: Object.fromEntries(PACKAGES.map(name => [name, join(modules, name)])) },
    write: false
  })
  return file!.text
}

/** Serves the page with React, with what a server has rendered of it, if anything. */
export async function serveReactPage (modules: string | undefined, rendered = ''): Promise<RequestListener> {
  const script = await bundle('react-page.ts', { modules })
  return ({ url }, response) => {
    if (url === '/page.js') response.setHeader('content-type', 'text/javascript').end(script)
    else response.setHeader('content-type', 'text/html').end(`<!doctype html><meta charset="utf-8"><title>React</title><div id="root">${rendered}</div><script type="module" src="/page.js"></script>`)
  }
}
