// What the documents say of the code, held against it.
import { once } from 'node:events'
import { access, readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { TObject } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import Fastify from 'fastify'
import { test } from 'tap'
import { isFinal } from '../../src/client/retry.js'
import { FrameFaults } from '../../src/cluster/frame-faults.js'
import { decodeFrame, FRAME_VERSION } from '../../src/cluster/frames.js'
import { errors } from '../../src/errors.js'
import notificationPlugin, { closeCodes } from '../../src/index.js'
import { casesFor } from '../support/conformance.js'
import { OptionsSchema } from '../../src/options/schema.js'
import { AckSchema, ClientFrameSchema, DismissSchema, ErrorSchema, NackSchema, NotificationSchema, PingSchema, PongSchema, ServerFrameSchema, WelcomeSchema } from '../../src/websocket/protocol.js'

const root = new URL('../..', import.meta.url).pathname
const read = async (path: string) => await readFile(join(root, path), 'utf8')
const sources = (await readdir(join(root, 'src'), { recursive: true })).filter(path => path.endsWith('.ts'))

/** The texts of a constant that is an object of strings. */
function entriesOf (code: string, name: string): string[] {
  const object = new RegExp(`const ${name}\\b[^=]*= \\{([^]*?)\\n\\}`).exec(code)![1]!
  return [...object.matchAll(/^ {2}\S+: '((?:\\.|[^'\\])*)',?$/gm)].map(([, text]) => text!)
}

test('every line that is logged is in the documents', async t => {
  const table = (await read('docs/operation.md')).split('## Logs')[1]!.split('\n## ')[0]!
  for (const path of sources) {
    const code = await read(`src/${path}`)
    const messages = [...code.matchAll(/\blog(?:\.\w+|\[[^\]]*\])\((?:\{.*\}, )?(['`])((?:\\.|(?!\1).)*)\1\)/g)].map(([, , message]) => message!)
    const tables = [...code.matchAll(/\blog\.\w+\((?:\{.*\}, )?([A-Z_]+)\[\w+\]\)/g)].map(([, name]) => name!)
    t.equal(messages.length + tables.length, [...code.matchAll(/\blog(?:\.(?!child\b)\w+|\[[^\]]*\])\(/g)].length, `every call in ${path} is understood`)
    for (const message of [...messages, ...tables.flatMap(name => entriesOf(code, name))]) t.match(table, message.replaceAll("\\'", "'").replace(/\$\{purpose\} \$\{state\}/, 'consumer open').replace(/\$\{purpose\}/, '…'))
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
  const schemas: TObject[] = [WelcomeSchema, NotificationSchema, DismissSchema, PingSchema, PongSchema, ErrorSchema, AckSchema, NackSchema]
  for (const schema of schemas) {
    const type = schema.properties.type!.const as string
    const [, table = ''] = page.split(`\n**\`${type}\`**: `)[1]!.split(/(^\|[^]*?)\n\n/m)
    t.same(cellsOf(table).slice(2).map(([name]) => name), Object.keys(schema.properties).map(name => `\`${name}\``), type)
  }
  const examples = [...page.matchAll(/^([SC]): (.*)$/gm)]
  t.ok(examples.length > 10, `${examples.length}`)
  for (const [line, side, json] of examples) t.ok(Value.Check(side === 'S' ? ServerFrameSchema : ClientFrameSchema, JSON.parse(json!)), line)
})

test('the protocol page: the table of steps has those of the conversations, and their frames are those of the schemas', async t => {
  const table = (await read('docs/protocol.md')).split('## Conformance')[1]!.split('\n## ')[0]!
  const steps = [...await casesFor('server'), ...await casesFor('client')].flatMap(({ steps }) => steps)
  t.same(new Set(cellsOf(table).slice(2).map(([name]) => name)), new Set(steps.map(step => `\`${Object.keys(step)[0]}\``)))
  const known = (type: string) => ['later', 'of a later version'].every(word => !type.includes(word))
  for (const step of steps) {
    if ('client' in step) t.ok(Value.Check(ClientFrameSchema, step.client), JSON.stringify(step))
    if ('server' in step && step.server.type !== 'welcome' && known(JSON.stringify(step))) t.ok(Value.Check(ServerFrameSchema, step.server), JSON.stringify(step))
  }
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

/** The numbers among the options, by their names. */
function numbersIn ({ properties }: TObject, path = ''): Array<[name: string, schema: { minimum: number, maximum: number }]> {
  return Object.entries(properties).flatMap(([key, schema]) => {
    const name = path + key
    return 'properties' in schema ? numbersIn(schema as TObject, `${name}.`) : schema.minimum === undefined ? [] : [[name, schema as never]]
  })
}

test('the options page: each number has its range', async t => {
  const page = await read('docs/options.md')
  const rows = new Map(cellsOf(page).map(([name, , ...text]) => [name, text.join()]))
  const toText = (value: number) => value.toLocaleString('en')
  const [, minimum, maximum] = /Counts are (\S+) to (\S+) where nothing else is said/.exec(page)!
  const numbers = numbersIn(OptionsSchema)
  t.ok(numbers.length > 30, `${numbers.length}`)
  for (const [name, schema] of numbers) {
    const [from, to] = [toText(schema.minimum), toText(schema.maximum)]
    const isUsual = from === minimum && to === maximum
    const text = rows.get(`\`${name}\``)!
    if (isUsual) t.notMatch(text, /^\S+ \([\d,]+ to /, name)
    else t.match(text, `${from} to ${to}`, name)
  }
})

test('what a close code tells a client to do is what the client of this package does', async t => {
  for (const path of ['docs/protocol.md', 'docs/errors.md']) {
    const rows = cellsOf(await read(path)).filter(cells => cells.length === 3 && /^\d{4}$/.test(cells[0]!))
    for (const code of Object.values(closeCodes)) t.ok(rows.some(([name]) => name === String(code)), `${path}: ${code}`)
    for (const [code, , action] of rows) t.equal(/^yes/.test(action!), !isFinal(Number(code)), `${path}: ${code}: ${action}`)
  }
})

test('the instances page: the kinds of frames are those of the code, and each example of a body is one', async t => {
  const rows = cellsOf((await read('docs/instances.md')).split('\n| kind | to |')[1]!.split('\n\n')[0]!).slice(1)
  const bodies = (await read('src/cluster/frames.ts')).split('\nconst bodies = {')[1]!.split('\n}')[0]!
  const kinds = [...bodies.matchAll(/^ {2}(\w+): /gm)].map(([, kind]) => `\`${kind}\``)
  t.ok(kinds.length > 10, `${kinds.length}`)
  t.same(rows.map(([kind]) => kind).toSorted(), kinds.toSorted())
  for (const [kind, to, body] of rows) {
    const frame = { v: FRAME_VERSION, from: 'a', inbox: 'amq.gen-a', term: 1, seq: 0, kind: kind!.slice(1, -1), body: JSON.parse(body!.slice(1, -1)) }
    t.match(decodeFrame(Buffer.from(JSON.stringify(frame)), to!.startsWith('all')), { kind: frame.kind }, frame.kind)
  }
})

test('the instances page: its frame is one, and lacks no member of the envelope', async t => {
  const section = (await read('docs/instances.md')).split('\n## Frames')[1]!
  const frame = JSON.parse(/```json\n(.*)\n```/.exec(section)![1]!)
  const decode = (frame: object) => decodeFrame(Buffer.from(JSON.stringify(frame)), true)
  t.match(decode(frame), frame)
  t.match(section, `| \`v\` | the version of the frames, ${FRAME_VERSION} |`)
  const named = cellsOf(section.split('\n| member | |')[1]!.split('\n\n')[0]!).flatMap(([names]) => names!.match(/\w+/g) ?? [])
  t.same(named, Object.keys(frame))
  for (const name of named) t.equal(decode({ ...frame, [name]: undefined }), 'malformed', name)
})

test('the documents name each fault for which a frame is dropped', async t => {
  const faults = Object.keys(new FrameFaults(Fastify().log, '').counts)
  const rows = cellsOf((await read('docs/instances.md')).split('\n| fault | the frame |')[1]!).slice(1)
  t.same(rows.map(([fault]) => fault), faults.map(fault => `\`${fault}\``))
  const [, label] = /^\| `fault` \| (.*?):/m.exec(await read('docs/operation.md'))!
  t.same(label!.match(/[\w-]+(?=`)/g), faults)
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

test('each test that SECURITY.md names is there', async t => {
  const named = [...(await read('SECURITY.md')).matchAll(/`([\w/-]+\.ts)`/g)].map(([, path]) => path!)
  t.ok(named.length > 20, `${named.length}`)
  for (const path of new Set(named)) await t.resolves(access(join(root, 'test', path)), path)
})
