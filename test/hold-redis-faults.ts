import { inspect } from 'node:util'
import type { FastifyBaseLogger } from 'fastify'
import { Redis } from 'ioredis'
import { test, type Test } from 'tap'
import { createHoldStore, type HoldOptions, type ManagedHoldStore } from '../src/hold/index.js'
import { eventually } from './support/eventually.js'
import { held, idsOf } from './support/hold-contract.js'
import { startProxy } from './support/proxy.js'
import { usePrivateRedis } from './support/redis.js'

const failed = { code: 'FST_NOTIFICATION_HOLD_FAILED', statusCode: 503, message: /the hold could not be reached/ }
const bounds = { keyPrefix: 'notification:', maxCount: 10_000, maxAge: 1e12, maxBytes: 1e9, totalBytes: 1e9 }

async function open (t: Test, redis: HoldOptions['redis'] & {}): Promise<ManagedHoldStore> {
  const store = await createHoldStore({ ...bounds, redis }, { dropped: (reason, count) => t.fail(`${count} dropped: ${reason}`) })
  t.teardown(() => store.close())
  return store
}

/** An application's client; its errors are the application's. */
function connect (t: Test, url: string, options = {}): Redis {
  const client = new Redis(url, options)
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return client
}

const clients: Array<[string, (t: Test, url: string) => string | Redis]> = [
  ['a URL', (_, url) => url],
  ["an application's client", connect]
]

for (const [description, clientOf] of clients) {
  test(`Redis is killed in mid-stream: everything confirmed is there, once, in order (${description})`, async t => {
    const server = await usePrivateRedis(t)
    const client = clientOf(t, server.url)
    const store = await open(t, client)
    const total = 4_000
    const confirmed: string[] = []
    let refusals = 0
    let killed = Promise.resolve()

    async function keep (id: string, position: number): Promise<void> {
      while (true) {
        try {
          t.same(await store.add('user', held(id, position)), [])
          break
        } catch (error) {
          refusals++
          t.match(error, failed)
          await eventually(() => !store.failing, 'connected again')
        }
      }
      confirmed.push(id)
      if (confirmed.length === total / 4 || confirmed.length === total / 2) {
        killed = killed.then(async () => {
          await server.kill()
          const survivors = [...confirmed]
          await server.start()
          let present = new Set<string>()
          await eventually(async () => {
            present = new Set(await idsOf(store, 'user').catch(() => []))
            return present.size > 0
          }, 'can be read again')
          t.same(survivors.filter(id => !present.has(id)), [], 'all that was confirmed before')
        })
      }
    }
    let next = 0
    await Promise.all(Array.from({ length: 50 }, async () => {
      while (next < total) {
        const index = next++
        await keep(`n${index}`, index)
      }
    }))
    await killed
    t.same(await idsOf(store, 'user'), Array.from({ length: total }, (_, index) => `n${index}`))
    t.equal(store.failing, false)
    // An application's client sends again by itself what had no answer.
    if (client !== server.url) return
    t.ok(refusals > 0, `${refusals} were refused and tried again`)
    t.match(store.lastError, { error: failed, at: Date })
  })

  test(`Redis is frozen: calls end within two seconds, and later ones at once (${description})`, async t => {
    const server = await usePrivateRedis(t)
    const store = await open(t, clientOf(t, server.url))
    await store.add('user', held('before', 1))
    await server.freeze()
    const begun = performance.now()
    await Promise.all([
      t.rejects(store.add('user', held('frozen', 2)), failed),
      t.rejects(store.read('user', undefined, 1), failed),
      t.rejects(store.remove('user', ['before']), failed)
    ])
    const took = performance.now() - begun
    t.ok(took > 1_500 && took < 30_000, `${took} ms`)
    t.equal(store.failing, true)

    // A call that waited for Redis would be pending after a turn of the event loop.
    const outcomes: unknown[] = []
    for (let n = 0; n < 1_000; n++) store.add('user', held(`n${n}`)).catch(error => outcomes.push(error))
    await new Promise(resolve => setImmediate(resolve))
    t.equal(outcomes.length, 1_000)
    t.match(outcomes[0], failed)

    await server.resume()
    // Calls are refused until the last of those above has its answer.
    await eventually(() => store.add('user', held('after', 3)).then(() => true, () => false), 'works again')
    t.equal(store.failing, false)
    t.same(await store.add('user', held('after', 3)), [])
    t.match(await idsOf(store, 'user'), /after/)
  })
}

test('what Redis has kept though the call was given up is there once when it is tried again', async t => {
  const server = await usePrivateRedis(t)
  const store = await open(t, connect(t, server.url))
  await server.freeze()
  await t.rejects(store.add('user', held('late')), failed)
  await server.resume()
  await eventually(() => !store.failing, 'the late answer has come')
  t.same(await idsOf(store, 'user'), ['late'], 'it was done')
  t.same(await store.add('user', held('late')), [])
  t.same(await idsOf(store, 'user'), ['late'])
})

test('what Redis drops by a call that was given up is counted', async t => {
  const server = await usePrivateRedis(t)
  const counted: unknown[] = []
  const store = await createHoldStore({ ...bounds, maxCount: 1, redis: connect(t, server.url) }, {
    dropped: (reason, count) => counted.push([reason, count])
  })
  t.teardown(() => store.close())
  await store.add('user', held('a', 1))
  await server.freeze()
  await t.rejects(store.add('user', held('b', 2)), failed)
  t.same(counted, [])
  await server.resume()
  await eventually(() => counted.length > 0, 'the late answer has come')
  t.same(counted, [['overflow', 1]])
})

test('Redis is not there at the start: the hold fails, and works as soon as Redis comes', async t => {
  const server = await usePrivateRedis(t)
  await server.stop()
  const store = await open(t, server.url)
  t.equal(store.failing, true)
  t.match(store.lastError, { error: { ...failed, cause: { code: 'ECONNREFUSED' } } })
  await t.rejects(store.add('user', held('a')), { ...failed, message: /not connected: .*ECONNREFUSED/ })
  await server.start()
  await eventually(() => !store.failing, 'connected')
  t.same(await store.add('user', held('a')), [])
})

test('Redis is stopped, which ends the connection in order: the hold fails, with a reason', async t => {
  const server = await usePrivateRedis(t)
  const store = await open(t, server.url)
  await server.stop()
  await eventually(() => store.failing, 'the client has seen it')
  t.match(store.lastError, { error: failed, at: Date })
})

test("Redis is frozen at the start: the hold fails within two seconds, with an application's client too", async t => {
  const server = await usePrivateRedis(t)
  await server.freeze()
  const stores = await Promise.all([open(t, server.url), open(t, connect(t, server.url))])
  for (const store of stores) t.match(store, { failing: true, lastError: { error: failed } })
  await server.resume()
  for (const store of stores) {
    await eventually(() => !store.failing, 'connected')
    t.same(await store.add('user', held('a')), [])
  }
})

test("an application's client is not made to queue calls while it is not connected", async t => {
  const server = await usePrivateRedis(t)
  const client = connect(t, server.url, { retryStrategy: () => 600_000 })
  const store = await open(t, client)
  await server.kill()
  await eventually(() => client.status === 'reconnecting', 'the client has seen it')
  await t.rejects(store.add('user', held('a')), { ...failed, message: /not connected/ })
  t.equal((client as unknown as { offlineQueue: { length: number } }).offlineQueue.length, 0)
})

test('the network to Redis is silent: the connection is given up and another one made', async t => {
  const server = await usePrivateRedis(t)
  const proxy = await startProxy(t, server.url)
  const store = await open(t, proxy.through(server.url))
  await store.add('user', held('a', 1))
  proxy.blackhole()
  await t.rejects(store.add('user', held('b', 2)), failed)
  await eventually(() => proxy.accepted > 1, 'tries again')
  // The first connection stays silent for ever.
  const silent = proxy.accepted
  proxy.forward()
  await eventually(() => !store.failing, 'connected')
  t.ok(proxy.accepted >= silent)
  t.same(await store.add('user', held('b', 2)), [])
  t.same(await idsOf(store, 'user'), ['a', 'b'])
})

test('the password for Redis is wrong: the hold fails from the start, and the password is told nowhere', async t => {
  const server = await usePrivateRedis(t, { config: { requirepass: 'right' } })
  const at = `127.0.0.1:${server.port}`
  const store = await open(t, `redis://user:s3cret-wrong@${at}`)
  t.equal(store.failing, true)
  const error = await store.add('user', held('a', 0, { content: '"private"' })).catch((error: unknown) => error)
  t.match(error, { ...failed, message: /redis:\/\/user:\*\*\*@127.0.0.1.*WRONGPASS/, cause: { message: /WRONGPASS/ } })
  for (const told of [error, store.lastError]) t.notMatch(inspect(told, { depth: 9, showHidden: true }), /s3cret-wrong/)

  const right = await open(t, `redis://:right@${at}`)
  t.equal(right.failing, false)
  t.same(await right.add('user', held('a')), [])
})

test('what Redis refuses is an error without the notification in it', async t => {
  const server = await usePrivateRedis(t, { config: { maxmemory: '1' } })
  const store = await open(t, server.url)
  t.equal(store.failing, false)
  const error = await store.add('user', held('a', 0, { content: '"private"' })).catch((error: unknown) => error)
  t.match(error, { ...failed, message: /OOM/, cause: { message: /OOM/ } })
  t.notMatch(inspect(error, { depth: 9, showHidden: true }), /private/)
  t.match(store, { failing: true })
})

test('fault 98: a full Redis works again only when it keeps something: reading and removing show nothing', async t => {
  const server = await usePrivateRedis(t, { config: { maxmemory: '1' } })
  const admin = connect(t, server.url)
  const lines: string[] = []
  const log = { warn: (_: unknown, line: string) => lines.push(line), info: (line: string) => lines.push(line) } as unknown as FastifyBaseLogger
  const changes: boolean[] = []
  const store: ManagedHoldStore = await createHoldStore({ ...bounds, redis: server.url }, { dropped () {}, changed: () => changes.push(store.failing), log })
  t.teardown(() => store.close())
  for (let round = 0; round < 3; round++) {
    await t.rejects(store.add('user', held('a')), { ...failed, message: /OOM/ })
    t.same(await idsOf(store, 'user'), [], 'it can be read')
    t.same(await store.remove('user', ['a']), [])
    t.equal(store.failing, true)
  }
  t.same([lines, changes], [['hold failed'], [true]])

  await admin.config('SET', 'maxmemory', '0')
  t.same(await store.add('user', held('a')), [])
  t.equal(store.failing, false)
  t.same([lines, changes], [['hold failed', 'hold works again'], [true, false]])
})

test('close() ends calls that wait, those for a frozen Redis too', async t => {
  const server = await usePrivateRedis(t)
  const store = await createHoldStore({ ...bounds, redis: server.url }, { dropped () {} })
  await store.add('user', held('a'))
  await server.freeze()
  const waiting = t.rejects(store.add('user', held('b')), failed)
  await store.close()
  await waiting
  await store.close()
  await t.rejects(store.add('user', held('c')), failed)
})
