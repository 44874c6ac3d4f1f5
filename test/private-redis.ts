import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { Redis } from 'ioredis'
import { test, type Test } from 'tap'
import { startPrivateRedis } from '../support/private-redis.js'
import { findRedis } from '../support/redis/install.js'
import { eventually } from './support/eventually.js'
import { startProgram } from './support/process.js'
import { processesIn } from './support/processes-in.js'
import { usePrivateRedis } from './support/redis.js'

function connect (t: Test, url: string): Redis {
  const client = new Redis(url, { maxRetriesPerRequest: 0, retryStrategy: () => null })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return client
}

async function folderOf (t: Test, url: string): Promise<string> {
  const client = connect(t, url)
  const [, folder] = await client.config('GET', 'dir') as [string, string]
  client.disconnect()
  return folder
}

test('a private Redis that was killed or stopped has what it confirmed when it is started again', async t => {
  const server = await usePrivateRedis(t)
  await server.start() // runs already
  for (const end of ['kill', 'stop'] as const) {
    await connect(t, server.url).set(end, 'confirmed')
    await server[end]()
    await t.rejects(connect(t, server.url).ping(), 'is gone')
    await server.start()
    t.equal(await connect(t, server.url).get(end), 'confirmed')
  }
})

test('a private Redis that is frozen says nothing until it is resumed', async t => {
  const server = await usePrivateRedis(t)
  const client = connect(t, server.url)
  await client.ping()
  await server.freeze()
  const answers: string[] = []
  const pong = client.ping().then(answer => answers.push(answer))
  await server.freeze() // another round trip to the supervisor, in which an answer would have come
  t.same(answers, [])
  await server.resume()
  await pong
  t.same(answers, ['PONG'])
})

test('a private Redis is configured, and says why it does not start', async t => {
  const { url } = await usePrivateRedis(t, { config: { maxmemory: '12345678' } })
  t.same(await connect(t, url).config('GET', 'maxmemory'), ['maxmemory', '12345678'])
  const error = { code: 'PRIVATE_REDIS_FAILED', message: /nonsense/ }
  await t.rejects(startPrivateRedis({ config: { nonsense: 'yes' } }), error)
})

test('a private Redis that is removed leaves no folder and no process', async t => {
  const server = await startPrivateRedis()
  const folder = await folderOf(t, server.url)
  t.ok(existsSync(folder))
  await server.remove()
  t.notOk(existsSync(folder))
  t.same(await processesIn(folder), [])
  await server.remove()
  await t.rejects(server.start(), { code: 'PRIVATE_REDIS_FAILED' })
})

test('a private Redis goes with the process that started it, however that ends', async t => {
  const program = startProgram(t, 'test/support/private-redis-owner.ts')
  const [url] = await once(program.stdout!.setEncoding('utf8'), 'data') as [string]
  const folder = await folderOf(t, url.trim())
  t.not((await processesIn(folder)).length, 0)
  program.kill('SIGKILL')
  await eventually(async () => !existsSync(folder) && (await processesIn(folder)).length === 0, 'folder and processes gone')
})

test('where there is no Redis, an error says what to do', async t => {
  await t.rejects(findRedis({ install: false, path: '/nowhere' }), { code: 'REDIS_UNAVAILABLE', message: /apt-get install redis-server/ })
})
