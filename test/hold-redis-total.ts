import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { t as file, test, type Test } from 'tap'
import { createHoldStore, type Held } from '../src/hold/index.js'
import { eventually } from './support/eventually.js'
import { held, idsOf, opener, START, type HoldUnderTest } from './support/hold-contract.js'
import { usePrivateRedis } from './support/redis.js'

const server = await usePrivateRedis(file)
const open = opener(async (options, hooks) => await createHoldStore({ redis: server.url, ...options }, hooks))

/** Bytes of a user who has as many of the following. */
const bytesOf = (count: number) => count === 0 ? 0 : 500 + count * 1_000
const one = (id: string, position = 0, rest: Partial<Held> = {}) => held(id, position, { content: `"${'x'.repeat(548 - id.length)}"`, ...rest })

function connect (t: Test) {
  const client = new Redis(server.url)
  t.teardown(() => client.disconnect())
  const keyPrefix = `${randomUUID()}:`
  const total = async () => Number(await client.zscore(`${keyPrefix}held:sizes`, 'total'))
  return { client, keyPrefix, total, sizes: `${keyPrefix}held:sizes`, ends: `${keyPrefix}held:ends` }
}

test('fault 98: all instances share the total of the hold in Redis', async t => {
  const { keyPrefix, total, client } = connect(t)
  const stores = await Promise.all([0, 1, 2].map(async () => await open(t, { keyPrefix, totalBytes: 20_000 })))
  const ids = Array.from({ length: 40 }, (_, n) => `n${n}`)
  await Promise.all(ids.map(async (id, n) => await stores[n % 3]!.store.add(`u${n % 4}`, one(id, n))))
  t.ok(await total() <= 20_000 && await total() > 18_000, `${await total()} bytes`)
  const { store } = stores[0]!
  const left = await Promise.all([0, 1, 2, 3].map(async n => await idsOf(store, `u${n}`)))
  t.equal(await total(), left.reduce((sum, { length }) => sum + bytesOf(length), 0), 'is the sum of what is there')
  t.equal(left.flat().length + stores.reduce((sum, { dropped }) => sum + dropped.overflow, 0), 40, 'the others are counted as dropped')
  for (const [n, ids] of left.entries()) await store.remove(`u${n}`, ids)
  t.same(await client.keys(`${keyPrefix}*`), [])
})

test('what Redis removes when it has expired leaves the total', async t => {
  const { client, keyPrefix, total } = connect(t)
  const { store, clock, dropped } = await open(t, { keyPrefix, totalBytes: bytesOf(1) * 2 })
  await store.add('short', one('a', 0, { expiresAt: START + 1 }))
  await eventually(async () => await client.exists(`${keyPrefix}{:short}:data`) === 0, 'Redis has removed it')
  clock.now += 1
  await store.add('user', one('b'))
  t.equal(await total(), bytesOf(1))
  await store.add('other', one('c'))
  t.same([await idsOf(store, 'user'), await idsOf(store, 'other')], [['b'], ['c']], 'there is room')
  clock.now += 3_600_000
  await store.read('user', undefined, 10)
  t.equal(await total(), bytesOf(1), 'what has expired and was found is not counted either')
  t.same(dropped, { overflow: 0, expired: 1, broken: 0 })
})

test('a user whose newest one is removed stays counted for as long as Redis keeps their keys', async t => {
  const { keyPrefix, total } = connect(t)
  const { store, clock } = await open(t, { keyPrefix })
  await store.add('user', one('a', 0, { expiresAt: START + 100_000 }))
  await store.add('user', one('b', 1, { expiresAt: START + 200_000 }))
  await store.remove('user', ['b'])
  clock.now += 150_000
  await store.add('other', one('c'))
  t.equal(await total(), 2 * bytesOf(1))
})

test('fault 98: after the longest-lived one of a user is removed and another is added, the user is counted only for as long as Redis keeps the rest', async t => {
  const { client, keyPrefix, total } = connect(t)
  const { store, clock } = await open(t, { keyPrefix })
  await store.add('user', one('long'))
  await store.add('user', one('short', 1, { expiresAt: START + 1 }))
  await store.remove('user', ['long'])
  await store.add('user', one('next', 2, { expiresAt: START + 1 }))
  await eventually(async () => await client.exists(`${keyPrefix}{:user}:data`) === 0, 'Redis has removed both')
  clock.now += 1
  await store.add('other', one('a'))
  t.equal(await total(), bytesOf(1))
})

for (const [description, look] of [
  ['read', async store => await idsOf(store, 'user')],
  ['remove', async store => await store.remove('user', ['a', 'b'])]
] satisfies Array<[string, (store: HoldUnderTest['store']) => Promise<readonly string[]>]>) {
  test(`fault 98: a user whose notifications an earlier version has removed is not counted any more after the next ${description}`, async t => {
    const { client, keyPrefix, sizes, ends, total } = connect(t)
    const { store } = await open(t, { keyPrefix })
    for (const user of ['user', 'other']) for (const [n, id] of ['a', 'b'].entries()) await store.add(user, one(id, n))
    await client.del(...['order', 'expiry', 'data'].map(name => `${keyPrefix}{:user}:${name}`)) // an earlier version knows no others
    t.same(await look(store), [])
    t.equal(await total(), bytesOf(2))
    await client.set(sizes, 'x')
    t.same(await look(store), [])
    t.same((await client.keys(`${keyPrefix}held:*`)).sort(), [ends, sizes], 'who has nothing changes nothing, even if the sizes are something else')
  })
}

test('fault 98: after many users have expired, nothing that is alive is dropped for them', async t => {
  const { client, keyPrefix, sizes, ends, total } = connect(t)
  const { store, clock, dropped } = await open(t, { keyPrefix, totalBytes: bytesOf(5) })
  await store.add('user', one('a'))
  const expired = Array.from({ length: 2_400 }, (_, n) => `{:expired ${n}}`)
  await client.zadd(sizes, ...expired.flatMap(name => [bytesOf(1), name]))
  await client.zadd(ends, ...expired.flatMap(name => [START + 1, name]))
  await client.zincrby(sizes, expired.length * bytesOf(1), 'total')
  clock.now += 1
  t.same(await store.add('user', one('b', 1)), [])
  t.same(await idsOf(store, 'user'), ['a', 'b'])
  t.equal(await total(), bytesOf(2))
  t.equal(dropped.overflow, 0)
})

for (const [description, spoil] of [
  ['the sizes are lost', async ({ client, sizes }) => await client.del(sizes)],
  ['the ends are lost', async ({ client, ends }) => await client.del(ends)],
  ['one of the users is lost', async ({ client, sizes }) => await client.zrem(sizes, '{:a}')],
  ['the sum is lost', async ({ client, sizes }) => await client.zrem(sizes, 'total')],
  ['something else is there', async ({ client, sizes, ends }) => await client.mset(sizes, 'x', ends, 'y')]
] satisfies Array<[string, (redis: ReturnType<typeof connect>) => Promise<unknown>]>) {
  test(`the total of the hold in Redis is counted anew, by and by, if ${description}`, async t => {
    const redis = connect(t)
    const { store } = await open(t, { keyPrefix: redis.keyPrefix, totalBytes: bytesOf(2) * 2 })
    for (const id of ['1', '2']) for (const user of ['a', 'b']) await store.add(user, one(id, Number(id)))
    await spoil(redis)
    t.same(await store.remove('a', ['1']), ['1'])
    t.equal(await redis.total(), bytesOf(1))
    t.same(await store.add('b', one('3', 3)), [])
    t.equal(await redis.total(), bytesOf(1) + bytesOf(3))
    t.same(await store.add('b', one('4', 4)), ['1'])
    t.same(await idsOf(store, 'b'), ['2', '3', '4'])
  })
}

test('a user who was counted with what something else has removed gives way to nobody, and is counted as they are', async t => {
  const { client, keyPrefix, total } = connect(t)
  const { store, dropped } = await open(t, { keyPrefix, totalBytes: bytesOf(4) })
  for (const [n, id] of ['1', '2', '3'].entries()) await store.add('gone', one(id, n))
  await client.del(...['order', 'expiry', 'data'].map(name => `${keyPrefix}{:gone}:${name}`))
  t.same(await store.add('user', one('a')), [])
  t.equal(await total(), bytesOf(1))
  t.equal(dropped.overflow, 0)
})

test('where an instance has a lower totalBytes, one that it adds makes room for hundreds', async t => {
  const { keyPrefix, total } = connect(t)
  const { store: former } = await open(t, { keyPrefix, maxCount: 1_000 })
  const { store, overflowed } = await open(t, { keyPrefix, totalBytes: bytesOf(20) })
  await Promise.all(Array.from({ length: 310 }, async (_, n) => await former.add('greedy', one(`n${n}`, n))))
  t.same(await store.add('user', one('a')), [])
  t.equal(await total(), bytesOf(1) + bytesOf(18))
  t.same(overflowed.map(([user, id]) => `${user} ${id}`), Array.from({ length: 292 }, (_, n) => `greedy n${n}`), 'the oldest')
})

test('fault 98: a full Redis has room again after totalBytes was lowered', async t => {
  const { client, keyPrefix, total } = connect(t)
  const { store: former } = await open(t, { keyPrefix })
  for (let n = 0; n < 8; n++) await former.add(`u${n}`, held('large', 0, { content: `"${'x'.repeat(1_000_000)}"` }))
  const totalBytes = 3_100_000
  const { store, overflowed } = await open(t, { keyPrefix, totalBytes })
  const used = Number(/used_memory:(\d+)/.exec(await client.info('memory'))![1])
  await client.config('SET', 'maxmemory', used - 1_000_000)
  t.teardown(async () => await client.config('SET', 'maxmemory', 0))
  await t.rejects(store.add('user', one('a')), { code: 'FST_NOTIFICATION_HOLD_FAILED', message: /OOM / })
  t.ok(await total() <= totalBytes, `${await total()} bytes`)
  t.equal(overflowed.length, 5, 'counted as dropped')
  t.same(await store.add('user', one('a')), [], 'and works at the next try')
  t.equal(store.failing, false)
})

test('a full Redis drops nothing of what totalBytes allows', async t => {
  const { client, keyPrefix, total } = connect(t)
  const { store, dropped } = await open(t, { keyPrefix })
  await store.add('user', one('a'))
  await client.config('SET', 'maxmemory', 1)
  t.teardown(async () => await client.config('SET', 'maxmemory', 0))
  await t.rejects(store.add('user', one('b', 1)), { code: 'FST_NOTIFICATION_HOLD_FAILED' })
  t.same(await idsOf(store, 'user'), ['a'])
  t.equal(await total(), bytesOf(1))
  t.equal(dropped.overflow, 0)
})
