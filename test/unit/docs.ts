// What the documents say of the code, held against it.
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import Fastify from 'fastify'
import { test } from 'tap'
import notificationPlugin from '../../src/index.js'

const root = new URL('../..', import.meta.url).pathname
const read = async (path: string) => await readFile(join(root, path), 'utf8')
const sources = (await readdir(join(root, 'src'), { recursive: true })).filter(path => path.endsWith('.ts'))

test('every line that is logged is in the README', async t => {
  const table = (await read('README.md')).split('## Logs')[1]!.split('\n## ')[0]!
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

test('links between the documents lead somewhere', async t => {
  for (const path of ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'docs/architecture.md', 'docs/platforms.md', 'docs/rabbitmq.md', 'docs/recipes.md']) {
    for (const [, link] of (await read(path)).matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      await t.resolves(readdir(dirname(join(root, dirname(path), link!))), `${path}: ${link}`)
      t.ok((await readdir(dirname(join(root, dirname(path), link!)))).includes(link!.split('/').at(-1)!), `${path}: ${link}`)
    }
  }
})
