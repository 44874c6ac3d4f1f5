import type { FastifyInstance } from 'fastify'
import { config } from './react/vite.config.js'

/** Vite names these files by their content. */
const FOR_EVER = 'public, max-age=31536000, immutable'

const types: Record<string, string> = { html: 'text/html', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' }

/**
 * Serves the page with React below `/react/`. It is built when somebody opens it, which takes a second, and kept in memory.
 *
 * An application builds its pages before it is deployed, and serves the files.
 */
export function serveReactPage (app: FastifyInstance): void {
  let files: Promise<Map<string, string | Uint8Array>> | undefined

  app.get('/react', async (_request, reply) => reply.redirect('/react/'))
  app.get<{ Params: { '*': string } }>('/react/*', async ({ params: { '*': path } }, reply) => {
    const file = (await (files ??= build())).get(path || 'index.html')
    if (file === undefined) return reply.callNotFound()
    const [, extension = 'html'] = /\.(\w+)$/.exec(path) ?? []
    return reply.type(types[extension]!).header('cache-control', path ? FOR_EVER : 'no-cache').send(file)
  })
}

/** Builds the page. @returns its files by their paths */
async function build (): Promise<Map<string, string | Uint8Array>> {
  const vite = await import('vite')
  const built = await vite.build({ ...config, configFile: false, logLevel: 'warn', build: { write: false } })
  const { output } = built as Exclude<typeof built, unknown[] | { on: unknown }> // neither several outputs nor a watcher
  return new Map(output.map(file => [file.fileName, file.type === 'chunk' ? file.code : file.source]))
}
