// What the documents say of the code, held against it.
import { once } from 'node:events'
import { access, readdir, readFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import Fastify from 'fastify'
import { test } from 'tap'
import notificationPlugin from '../../src/index.js'

const root = new URL('../..', import.meta.url).pathname
const read = async (path: string) => await readFile(join(root, path), 'utf8')
const sources = (await readdir(join(root, 'src'), { recursive: true })).filter(path => path.endsWith('.ts'))

/** A file's room: its folder, or itself. */
const roomOf = (path: string) => path.includes('/') ? path.split('/')[0]! : path.slice(0, -3)

test('the rooms of the architecture page, and the arrows between them, are those of the code', async t => {
  const page = await read('docs/architecture.md')
  const leaves = /leaves that know nothing of the flow: (.*?)\./.exec(page)![1]!.match(/[\w-]+/g)!
  const drawn = [...page.matchAll(/^ +([\w-]+) --> ([\w-]+)$/gm)].map(([, from, to]) => `${from} --> ${to}`)

  const imported = new Set<string>()
  for (const path of sources) {
    const from = roomOf(path)
    for (const [, to] of (await read(`src/${path}`)).matchAll(/^(?:import|export) (?!type ).* from '(\.[^']+)'/gm)) {
      const room = roomOf(normalize(join(dirname(path), to!.replace(/\.js$/, '.ts'))))
      if (room === from) continue
      if (leaves.includes(from)) t.ok(leaves.includes(room), `${from} is a leaf, and imports ${room}`)
      else if (!leaves.includes(room)) imported.add(`${from} --> ${room}`)
    }
  }
  t.same(drawn.toSorted(), [...imported].toSorted())
  const told = new Set([...page.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, names]) => names!.match(/[\w-]+/g)!))
  t.same([...new Set(sources.map(roomOf))].filter(room => !told.has(room) && !leaves.includes(room) && room !== 'client'), [], 'each has its line')
})

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
