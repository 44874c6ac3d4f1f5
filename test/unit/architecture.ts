// The architecture page, and what may import what, held against the code.
import { access, readdir, readFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import { test } from 'tap'

const root = new URL('../..', import.meta.url).pathname
const page = await readFile(join(root, 'docs/architecture.md'), 'utf8')
const files = (await readdir(join(root, 'src'), { recursive: true })).filter(path => path.endsWith('.ts'))
const leaves = /the leaves, which know no room: (.*?)\./.exec(page)![1]!.match(/[\w-]+/g)!

/** A file's room: its folder, or itself. */
const roomOf = (path: string) => path.includes('/') ? path.split('/')[0]! : path.slice(0, -3)

/** What each file imports, types too: files of `src/` by their paths, packages by their names. */
const imports = new Map(await Promise.all(files.map(async path => {
  const code = await readFile(join(root, 'src', path), 'utf8')
  const specifiers = [...code.matchAll(/^(?:import|export) (?:[^'\n]* from )?'([^']+)'|\bimport\('([^']+)'\)/gm)].map(([, from, dynamic]) => from ?? dynamic!)
  return [path, specifiers.map(to => to.startsWith('.') ? normalize(join(dirname(path), to.replace(/\.js$/, '.ts'))) : to)] as const
})))

/** Between rooms, without the leaves. */
const arrows = new Map<string, Set<string>>()
for (const [path, all] of imports) {
  const from = roomOf(path)
  if (leaves.includes(from)) continue
  const rooms = all.filter(to => imports.has(to)).map(roomOf).filter(to => to !== from && !leaves.includes(to))
  arrows.set(from, new Set([...arrows.get(from) ?? [], ...rooms]))
}

/** @returns a way from somewhere back to the same place; undefined if there is none */
function findCircle (graph: ReadonlyMap<string, Iterable<string>>): string[] | undefined {
  const done = new Set<string>()

  function visit (node: string, way: readonly string[]): string[] | undefined {
    if (way.includes(node)) return [...way.slice(way.indexOf(node)), node]
    if (done.has(node)) return undefined
    for (const next of graph.get(node) ?? []) {
      const circle = visit(next, [...way, node])
      if (circle !== undefined) return circle
    }
    done.add(node)
    return undefined
  }

  for (const node of graph.keys()) {
    const circle = visit(node, [])
    if (circle !== undefined) return circle
  }
  return undefined
}

test('no file imports itself by way of others, types included, and no room does', async t => {
  t.equal(findCircle(imports), undefined)
  t.equal(findCircle(arrows), undefined)
  t.same(findCircle(new Map([['a', ['b']], ['b', ['c']], ['c', ['b']]])), ['b', 'c', 'b'], 'a circle would be found')
})

test('the rooms of the architecture page, and the arrows between them, are those of the code', async t => {
  const drawn = [...page.matchAll(/^ +([\w-]+) --> ([\w-]+)$/gm)].map(([, from, to]) => `${from} --> ${to}`)
  t.same(drawn, [...arrows].flatMap(([from, all]) => [...all].map(to => `${from} --> ${to}`)).toSorted())
  const told = [...page.matchAll(/^\| `([\w-]+)` \|/gm)].map(([, name]) => name)
  const rooms = new Set(files.map(roomOf).filter(room => !leaves.includes(room)))
  t.same([...rooms].filter(room => !told.includes(room)), [], 'each has its line')
})

test('the delivery imports leaves alone, and a leaf imports no room', async t => {
  t.same([...arrows.get('delivery')!], [])
  for (const leaf of leaves) t.same(imports.get(`${leaf}.ts`)!.filter(to => imports.has(to) && !leaves.includes(roomOf(to))), [], leaf)
})

for (const [name, rooms] of [
  ['amqplib', ['cluster', 'rabbitmq']], ['ws', ['notifier', 'websocket']], ['ioredis', ['hold']], ['prom-client', ['observability']], ['@opentelemetry/api', ['observability']], ['react', ['react']]
] as const) {
  test(`the package ${name} is imported by ${rooms.join(' and ')} alone`, async t => {
    t.same([...new Set([...imports].filter(([, all]) => all.includes(name)).map(([path]) => roomOf(path)))].toSorted(), rooms)
  })
}

test('each walk of the architecture page names files that are there, each once', async t => {
  const walks = page.split('## Three walks')[1]!.split('\n## ')[0]!.split('\n### ').slice(1)
  t.equal(walks.length, 3)
  for (const walk of walks) {
    const named = [...walk.matchAll(/`([\w/-]+\.ts)`/g)].map(([, path]) => path!)
    t.same(named.filter(path => !imports.has(path)), [])
    t.same(named.filter((path, n) => named.indexOf(path) !== n), [])
    t.ok(named.length > 5)
  }
})

test('every file that the architecture page names is there', async t => {
  const named = [...page.matchAll(/`([\w-]+\/[\w/-]+\.ts)`/g)].map(([, path]) => path!)
  t.ok(named.length > 30, `${named.length}`)
  for (const path of named) if (!imports.has(path)) await t.resolves(access(join(root, path)), path)
})

test('no file is much longer than 200 lines', async t => {
  const lengths = await Promise.all(files.map(async path => [path, (await readFile(join(root, 'src', path), 'utf8')).split('\n').length] as const))
  t.same(lengths.filter(([, length]) => length > 250), [])
})
