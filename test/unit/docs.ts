// What the documents say of the code, held against it.
import { once } from 'node:events'
import { access, readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { TObject } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import Fastify from 'fastify'
import { test } from 'tap'
import { isFinal } from '../../src/client/retry.js'
import { errors } from '../../src/errors.js'
import notificationPlugin, { closeCodes } from '../../src/index.js'
import { OptionsSchema } from '../../src/options/schema.js'
import { AckSchema, DismissSchema, ErrorSchema, NotificationSchema, ServerFrameSchema, WelcomeSchema } from '../../src/websocket/protocol.js'

const root = new URL('../..', import.meta.url).pathname
const read = async (path: string) => await readFile(join(root, path), 'utf8')
const sources = (await readdir(join(root, 'src'), { recursive: true })).filter(path => path.endsWith('.ts'))

test('every line that is logged is in the documents', async t => {
  const table = (await read('docs/operation.md')).split('## Logs')[1]!.split('\n## ')[0]!
  for (const path of sources) {
    const code = await read(`src/${path}`)
    const messages = [...code.matchAll(/\blog(?:\.\w+|\[[^\]]*\])\((?:\{.*\}, )?(['`])((?:\\.|(?!\1).)*)\1\)/g)].map(([, , message]) => message!)
    t.equal(messages.length, [...code.matchAll(/\blog(?:\.\w+|\[[^\]]*\])\(/g)].length, `every call in ${path} is understood`)
    for (const message of messages) t.match(table, message.replaceAll("\\'", "'").replace(/\$\{purpose\} \$\{state\}/, 'consumer open').replace(/\$\{purpose\}/, '…'))
  }
})

test('the recipe for tests without a broker works', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(notificationPlugin, {})
  await app.ready()
  const socket = await app.injectWS('/notification?userId=123')
  const received = once(socket, 'message')
  await app.notifier.notify('123', 'hello')
  const [data] = await received
  socket.terminate()
  await app.close()
  t.equal(String(data), 'hello')
  const recipe = /```ts\n(import { once }[^]*?)```/.exec(await read('docs/recipes.md'))![1]!
  const own = await read('test/unit/docs.ts')
  for (const line of recipe.trim().split('\n')) t.ok(own.includes(line), line)
})

/** The cells of the rows of a page's tables. */
const cellsOf = (page: string) => [...page.matchAll(/^\| (.*) \|$/gm)].map(([, row]) => row!.split(' | ').map(cell => cell.trim()))

test('the protocol page: each frame has its members, and each example is a frame', async t => {
  const page = await read('docs/protocol.md')
  const schemas: TObject[] = [WelcomeSchema, NotificationSchema, DismissSchema, ErrorSchema, AckSchema]
  for (const schema of schemas) {
    const type = schema.properties.type!.const as string
    const [, table = ''] = page.split(`\n**\`${type}\`**: `)[1]!.split(/(^\|[^]*?)\n\n/m)
    t.same(cellsOf(table).slice(2).map(([name]) => name), Object.keys(schema.properties).map(name => `\`${name}\``), type)
  }
  const examples = [...page.matchAll(/^([SC]): (.*)$/gm)]
  t.ok(examples.length > 10, `${examples.length}`)
  for (const [line, side, json] of examples) t.ok(Value.Check(side === 'S' ? ServerFrameSchema : AckSchema, JSON.parse(json!)), line)
})

test('the protocol page: refusals have the status of their error', async t => {
  const statusOf = new Map(Object.values(errors).map(CodedError => {
    const { code, statusCode } = new (CodedError as new () => { code: string, statusCode: number })()
    return [code, statusCode]
  }))
  const page = (await read('docs/protocol.md')).split('## Refusals')[1]!.split('\n## ')[0]!
  const refusals = cellsOf(page).flatMap(([status, codes]) => codes!.match(/FST_\w+/g)?.map(code => [status!, code] as const) ?? [])
  t.ok(refusals.length > 10, `${refusals.length}`)
  for (const [status, code] of refusals) t.match(String(statusOf.get(code)), new RegExp(`^${status.replaceAll('x', '\\d')}$`), code)
})

test('the protocol page: a default in italics is that of its option', async t => {
  const units: Record<string, number> = { s: 1_000, MiB: 1024 * 1024 }
  const stated = [...(await read('docs/protocol.md')).matchAll(/\*(\d+)(?: (\w+))?\*[^*|\n]*?\(`([\w.]+)`\)/g)]
  t.ok(stated.length > 7, `${stated.length}`)
  for (const [, value, unit = '', name] of stated) {
    const { default: fallback } = name!.split('.').reduce<{ properties?: any, default?: unknown }>((schema, part) => schema.properties[part], OptionsSchema)
    t.equal(Number(value) * (units[unit] ?? 1), fallback, name!)
  }
})

test('what a close code tells a client to do is what the client of this package does', async t => {
  for (const path of ['docs/protocol.md', 'docs/errors.md']) {
    const rows = cellsOf(await read(path)).filter(cells => cells.length === 3 && /^\d{4}$/.test(cells[0]!))
    for (const code of Object.values(closeCodes)) t.ok(rows.some(([name]) => name === String(code)), `${path}: ${code}`)
    for (const [code, , action] of rows) t.equal(/^yes/.test(action!), !isFinal(Number(code)), `${path}: ${code}: ${action}`)
  }
})

/** The anchors of a page: of its headings, as GitHub makes them. */
function anchorsOf (page: string): string[] {
  const headings = page.replace(/^```[^]*?^```/gm, '').matchAll(/^#+ (.*)$/gm)
  return [...headings].map(([, heading]) => heading!.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'))
}

test('links between the documents lead somewhere, those to a heading too', async t => {
  const pages = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', 'example/README.md', 'test/faults/README.md', ...(await readdir(join(root, 'docs'))).map(name => `docs/${name}`)]
  for (const path of pages) {
    for (const [, link] of (await read(path)).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [file = '', anchor] = link!.split('#')
      const target = file === '' ? path : join(dirname(path), file)
      await t.resolves(access(join(root, target)), `${path}: ${link}`)
      if (anchor !== undefined) t.ok(anchorsOf(await read(target)).includes(anchor), `${path}: ${link}`)
    }
  }
})
