import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { Cluster, Redis } from 'ioredis'
import { t as file, test, type Test } from 'tap'
import { createHoldStore, type HoldOptions } from '../src/hold/index.js'
import { connectRedis } from '../src/hold/redis-connection.js'
import { startApp } from './support/app.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { held, idsOf, opener, START, testHoldContract } from './support/hold-contract.js'
import { usePrivateRedis } from './support/redis.js'
import { connectRich } from './support/rich-client.js'

const server = await usePrivateRedis(file)

/** A store with keys of its own, in the Redis of this file unless the options name another. */
const open = opener(async (options, hooks) => await createHoldStore(
  { redis: server.url, ...options, keyPrefix: options.keyPrefix === 'notification:' ? `${randomUUID()}:` : options.keyPrefix },
  hooks
))

/** What the hold in Redis counts for a notification and for a user. */
const overhead = { entry: 450, user: 500 }

function connect (t: Test, options = {}): Redis {
  const client = new Redis(server.url, options)
  t.teardown(() => client.disconnect())
  return client
}

testHoldContract(open, overhead)

test('several instances, and the next one after a restart, share what is held in Redis', async t => {
  const keyPrefix = `${randomUUID()}:`
  const { store: one } = await open(t, { keyPrefix })
  const { store: other } = await open(t, { keyPrefix, maxCount: 100 })
  const ids = Array.from({ length: 100 }, (_, index) => `n${index}`)
  await Promise.all(ids.map(async (id, index) => await (index % 2 ? one : other).add('user', held(id, index))))
  await Promise.all(ids.map(async (id, index) => await (index % 2 ? other : one).add('user', held(id, index))))
  t.same(await idsOf(one, 'user'), ids)
  await one.remove('user', ids.slice(0, 98))
  t.same(await idsOf(other, 'user'), ['n98', 'n99'])
  t.same([one.size, [...one.unsaved()]], [undefined, []], 'nothing is in this process')
  one.sweep()
  await one.close()
  await other.close()
  const { store: next } = await open(t, { keyPrefix })
  t.same(await idsOf(next, 'user'), ['n98', 'n99'])
})

test('keys in Redis live as long as what they hold, and go with it', async t => {
  const client = connect(t)
  const keyPrefix = `${randomUUID()}:`
  const { store, clock } = await open(t, { keyPrefix, maxAge: 3_600_000 })
  const keys = async () => (await client.keys(`${keyPrefix}{*`)).sort()
  await store.add('user', held('a', 0, { expiresAt: START + 100_000 }))
  t.same(await keys(), ['data', 'expiry', 'order'].map(name => `${keyPrefix}{:user}:${name}`))
  for (const key of await keys()) {
    const left = await client.pttl(key)
    t.ok(left > 50_000 && left <= 100_000, `${key} has ${left} ms`)
  }
  await store.add('user', held('b'))
  await store.add('user', held('c', 0, { expiresAt: START + 1 }))
  for (const key of await keys()) t.ok(await client.pttl(key) > 3_500_000, 'as long as the last of them')
  await store.remove('user', ['a', 'b', 'c'])
  t.same(await client.keys(`${keyPrefix}*`), [])
  await store.add('user', held('too late', 0, { expiresAt: START }))
  t.same(await keys(), [])
  await store.add('user', held('in time', 0, { expiresAt: START + 100_000 }))
  clock.now += 100_000
  await store.read('user', undefined, 1)
  t.same(await keys(), [])
})

test('without an age to expire at, keys still have a time to live that Redis takes', async t => {
  const { store } = await open(t, { maxAge: Infinity })
  t.same(await store.add('user', held('a')), [])
  t.same(await store.read('user', undefined, 1), [held('a')])
})

test('a Redis that lost its scripts, or some of the keys, goes on', async t => {
  const client = connect(t)
  const keyPrefix = `${randomUUID()}:`
  const { store } = await open(t, { keyPrefix })
  await store.add('user', held('a'))
  await store.add('user', held('b'))
  await client.script('FLUSH')
  t.same((await Promise.all([store.add('user', held('c')), store.add('user', held('d'))])).flat(), [])
  t.same(await idsOf(store, 'user'), ['a', 'b', 'c', 'd'])
  for (const name of ['order', 'expiry', 'data']) {
    await client.del(`${keyPrefix}{:user}:${name}`)
    t.same(await idsOf(store, 'user'), [], `without ${name}`)
    t.equal(await client.exists(...['order', 'expiry', 'data'].map(each => `${keyPrefix}{:user}:${each}`)), 0, 'nothing is left over')
    t.same(await store.add('user', held('e')), [])
    t.same(await idsOf(store, 'user'), ['e'])
  }
})

for (const [description, options] of [
  ['as it comes', {}],
  ['with a key prefix', { keyPrefix: 'app:' }],
  ['with pipelines', { enableAutoPipelining: true }],
  ['that is lazy', { lazyConnect: true }],
  ['that has RESP2', { protocol: 2 }]
] as const) {
  test(`an application's own client, ${description}, is used and left alone`, async t => {
    const client = connect(t, options)
    const { store } = await open(t, { redis: client, keyPrefix: 'own:' })
    const user = randomUUID()
    await Promise.all(['a', 'b'].map(async (id, index) => await store.add(user, held(id, index))))
    t.same(await idsOf(store, user), ['a', 'b'])
    t.equal(client.listenerCount('error'), 0)
    t.equal(await connect(t).exists(`${'keyPrefix' in options ? options.keyPrefix : ''}own:{:${user}}:data`), 1)
    await store.close()
    t.equal(client.listenerCount('ready'), 0)
    t.equal(await client.ping(), 'PONG')
    await t.rejects(store.add(user, held('c')), { code: 'FST_NOTIFICATION_HOLD_FAILED' }, 'closed all the same')
  })
}

for (const [description, create] of [
  ['a client of clusters', (url: string) => new Cluster([url], { enableAutoPipelining: true })],
  ['a client that knows nothing of it', (url: string) => new Redis(url)]
] as const) {
  test(`in a Redis cluster the keys of a user are in one slot, and totalBytes has no effect: ${description}`, async t => {
    const node = await usePrivateRedis(t, { config: { 'cluster-enabled': 'yes', 'cluster-announce-ip': '127.0.0.1' } })
    const admin = new Redis(node.url)
    await admin.cluster('ADDSLOTSRANGE', 0, 16383)
    await eventually(async () => /cluster_state:ok/.test(await admin.cluster('INFO')), 'the cluster is up')
    await admin.quit()
    const client = create(node.url)
    t.teardown(() => client.disconnect())
    const { store } = await open(t, { redis: client, totalBytes: 10_000 })
    const users = ['1', '{', '}', '{}', '}{', 'a}b', ...Array.from({ length: 50 }, () => randomUUID())]
    await Promise.all(users.map(async user => await store.add(user, held(`of ${user}`))))
    for (const user of users) t.same(await idsOf(store, user), [`of ${user}`])
    for (const user of users) await store.remove(user, [`of ${user}`])
    t.equal(store.failing, false)
  })
}

test('hold.redis by a URL needs ioredis, and an error says so where it is not installed', async t => {
  const missing = Object.assign(new Error("Cannot find package 'ioredis'"), { code: 'ERR_MODULE_NOT_FOUND' })
  await t.rejects(connectRedis(server.url, {}, async () => { throw missing }), { code: 'FST_NOTIFICATION_HOLD_NO_CLIENT', statusCode: 500, cause: missing })
  const broken = new SyntaxError('broken')
  await t.rejects(connectRedis(server.url, {}, async () => { throw broken }), broken)
})

test('a store of defaults counts time by the clock', async t => {
  const options: HoldOptions = { redis: server.url, keyPrefix: `${randomUUID()}:`, maxCount: 10, maxAge: 60_000, maxBytes: 1_000, totalBytes: 1_000 }
  const store = await createHoldStore(options, { dropped () {} })
  t.teardown(() => store.close())
  t.same(await store.add('user', held('old')), ['old'])
  t.same(await store.add('user', held('new', (Date.now() - START) * 1_000)), [])
})

test('a plain object that stands for a client is used, not copied: its getters and `this` are its own', async t => {
  const real = connect(t)
  await once(real, 'ready')
  const wrapper = {
    calls: 0,
    get status () { return real.status },
    async connect () { await real.connect() },
    defineCommand (name: string, definition: { lua: string, numberOfKeys: number }) {
      real.defineCommand(name, definition)
      const call = async (...args: Array<string | number>) => {
        this.calls++
        return await (real as unknown as Record<string, (...args: Array<string | number>) => Promise<unknown>>)[name]!(...args)
      }
      Object.defineProperty(this, name, { value: call })
    },
    on: real.on.bind(real),
    off: real.off.bind(real)
  }
  const { app, notifications } = await startApp(t, { offline: 'hold', hold: { redis: wrapper, keyPrefix: `${randomUUID()}:` } })
  t.match(await app.notifier.notify('123', 'hello'), { outcome: 'held' })
  t.ok(wrapper.calls > 0, 'by the object that was given')
  const client = await connectClient(t, notifications('123'))
  t.same(await client.received(1), ['hello'])
})

test("with settle: 'sent' no ack of a client costs a call to Redis", async t => {
  const client = connect(t)
  const calls = async () => Number(/cmdstat_evalsha:calls=(\d+)/.exec(await client.info('commandstats'))?.[1] ?? 0)
  const { app, notifications } = await startApp(t, { offline: 'hold', hold: { redis: server.url, keyPrefix: `${randomUUID()}:` } })
  const rich = await connectRich(t, notifications('123'))
  const ids = ['a', 'b', 'c']
  for (const id of ids) await app.notifier.notify('123', 'hello', { id })
  await rich.framesReceived(3)
  await eventually(async () => {
    const before = await calls()
    await app.notifier.notify('nobody', 'held')
    return await calls() - before === 1
  }, 'the hold has looked for what the user has in it')

  const before = await calls()
  for (const id of ids) rich.ack(id)
  const pong = once(rich.socket, 'pong')
  rich.socket.ping() // answered after what was sent before it
  await pong
  await app.notifier.notify('nobody', 'held')
  t.equal(await calls() - before, 1, 'only what was held since')
})
