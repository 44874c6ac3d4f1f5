// What users have dismissed, in Redis: bounded for all users together.
import { randomUUID } from 'node:crypto'
import { Cluster, Redis } from 'ioredis'
import { t as file, test, type Test } from 'tap'
import { createHoldStore, type HoldOptions } from '../src/hold/index.js'
import { eventually } from './support/eventually.js'
import { opener, type HoldUnderTest } from './support/hold-contract.js'
import { createRandom } from './support/random.js'
import { usePrivateRedis } from './support/redis.js'

const server = await usePrivateRedis(file)
const open = opener(async (options, hooks) => await createHoldStore({ redis: server.url, ...options }, hooks))

/** With so few bytes 100 ids are remembered for all users together. */
const totalBytes = 1

const numbered = (count: number, from = 0) => Array.from({ length: count }, (_, n) => `n${String(from + n).padStart(3, '0')}`)

/** An instance, and what is in Redis. Each dismissal is a millisecond later than the one before. */
async function setUp (t: Test, options: Partial<HoldOptions> = {}) {
  const client = new Redis(server.url)
  t.teardown(() => client.disconnect())
  const keyPrefix = options.keyPrefix ?? `${randomUUID()}:`
  const instance = await open(t, { totalBytes, ...options, keyPrefix })
  const keyOf = (user: string) => `${keyPrefix}{:${user}}:dismissed`
  const [times, counts] = [`${keyPrefix}dismissed:times`, `${keyPrefix}dismissed:counts`]
  return {
    ...instance,
    client,
    keyPrefix,
    keyOf,
    times,
    counts,
    total: async () => Number(await client.hget(counts, 'total')),
    read: async (user: string) => [...await instance.store.dismissals!.read(user)].sort(),
    dismiss: async (user: string, ...ids: string[]) => await dismissAt(instance, user, ...ids)
  }
}

async function dismissAt ({ store, clock }: HoldUnderTest, user: string, ...ids: string[]): Promise<void> {
  clock.now++
  for (const id of ids) store.dismissals!.add(user, id)
  await eventually(async () => (await store.dismissals!.read(user)).includes(ids.at(-1)!), `${user} has dismissed ${ids.at(-1)}`)
}

test('fault 94: in Redis, who dismissed something longest ago is forgotten first, whichever instance knows of it', async t => {
  const { keyPrefix, client, keyOf, clock, dismiss, read, total } = await setUp(t)
  const other = await open(t, { keyPrefix, totalBytes })
  for (const user of numbered(10)) await dismiss(user, ...numbered(10))
  t.equal(await total(), 100)
  other.clock.now = clock.now
  await dismissAt(other, 'one more', 'x')
  t.same(await read('n000'), [])
  t.equal(await client.exists(keyOf('n000')), 0)
  t.same([await read('n001'), await read('n009'), await read('one more')], [numbered(10), numbered(10), ['x']])
  t.equal(await total(), 91)

  clock.now = other.clock.now
  await dismiss('n001', 'again')
  await dismiss('many', ...numbered(20))
  t.same([await read('n002'), await read('n003')], [[], []], 'as many as are needed')
  t.same([(await read('n001')).length, await read('n004'), (await read('many')).length], [11, numbered(10), 20], 'who was just active stays')
  t.equal(await total(), 92)
})

test('fault 94: in Redis, nobody pushes out their own newest ids', async t => {
  const { dismiss, read, total } = await setUp(t)
  await dismiss('busy', ...numbered(70))
  await dismiss('busy', ...numbered(70, 70))
  t.same(await read('busy'), numbered(100, 40))
  t.equal(await total(), 100)
  await dismiss('next', 'x')
  t.same([await read('busy'), await read('next')], [[], ['x']])
})

test('fault 94: in Redis, as many are counted as are there, whatever the instances do at a time', async t => {
  const { keyPrefix, client, keyOf, times, counts, total, store } = await setUp(t)
  const stores = [store, ...await Promise.all([0, 1].map(async () => (await open(t, { keyPrefix, totalBytes })).store))]
  const random = createRandom(t)
  const users = numbered(40)
  for (let round = 0; round < 30; round++) {
    for (const { dismissals } of stores) for (let n = 0; n < 10; n++) dismissals!.add(random.oneOf(users), `${random.between(0, 999)}`)
    await new Promise(resolve => setImmediate(resolve))
    await Promise.all(stores.map(async ({ dismissals }) => await dismissals!.read('nobody'))) // behind what was written
    const sizes = await Promise.all(users.map(async user => await client.zcard(keyOf(user))))
    const sum = sizes.reduce((sum, size) => sum + size, 0)
    t.equal(await total(), sum)
    t.ok(sum <= 100 && (round < 10 || sum > 50), `${sum} ids`)
    const known = sizes.filter(size => size > 0).length
    t.same([await client.zcard(times), await client.hlen(counts)], [known, known + 1])
  }
})

test('what is too old to be told is not counted any more', async t => {
  const { client, clock, times, counts, keyPrefix, dismiss, total } = await setUp(t, { maxAge: 1_000_000 })
  for (const user of numbered(3)) await dismiss(user, ...numbered(10))
  for (const key of await client.keys(`${keyPrefix}*`)) t.ok(await client.pttl(key) > 0, `${key} goes by itself`)
  clock.now += 500_000
  await dismiss('younger', 'x')
  clock.now += 500_001
  await dismiss('next', 'y')
  t.equal(await total(), 2)
  t.same(await client.zrange(times, '0', '-1'), ['{:younger}', '{:next}'])
  t.same(await client.hgetall(counts), { total: '2', '{:younger}': '1', '{:next}': '1' })
})

test('after many users are too old, and after the bound was lowered, each dismissal takes a part of the work', async t => {
  const { client, clock, times, dismiss, total, keyPrefix, read } = await setUp(t, { maxAge: 1_000_000, totalBytes: 2 ** 30 })
  for (const user of numbered(230)) await dismiss(user, 'x')
  const lower = await open(t, { keyPrefix, maxAge: 1_000_000, totalBytes })
  lower.clock.now = clock.now
  await dismissAt(lower, 'first', 'x')
  t.equal(await total(), 131)
  await dismissAt(lower, 'second', 'x')
  t.equal(await total(), 100)
  t.same([await read('n131'), await read('n132')], [[], ['x']])
  clock.now = lower.clock.now + 999_997
  await dismiss('third', 'x')
  t.same([await client.zcard(times), await total()], [3, 3])
})

test('what an earlier version has written is counted with the next ids of the user, and not touched before', async t => {
  const { client, keyOf, dismiss, read, total, clock } = await setUp(t)
  for (const user of ['a', 'b']) await client.zadd(keyOf(user), ...numbered(60).flatMap(id => [clock.now, id]))
  await dismiss('a', 'x')
  t.equal(await total(), 61)
  await dismiss('c', ...numbered(30))
  t.same([(await read('a')).length, (await read('b')).length, await total()], [61, 60, 91])
  await dismiss('b', 'x')
  t.same([await read('a'), (await read('b')).length, await total()], [[], 61, 91])
})

test('what something else has removed is not counted after the next ids of the user', async t => {
  const { client, keyOf, dismiss, total } = await setUp(t)
  await dismiss('a', ...numbered(50))
  await client.del(keyOf('a'))
  await dismiss('a', 'x')
  t.equal(await total(), 1)
})

for (const [description, spoil] of [
  ['the times are lost', async ({ client, times }) => await client.del(times)],
  ['the counts are lost', async ({ client, counts }) => await client.del(counts)],
  ['one of the users is lost', async ({ client, times }) => await client.zrem(times, '{:a}')],
  ['the sum is lost', async ({ client, counts }) => await client.hdel(counts, 'total')],
  ['the sum is no number', async ({ client, counts }) => await client.hset(counts, 'total', 'x')],
  ['something else is there', async ({ client, times, counts }) => await client.mset(times, 'x', counts, 'y')],
  ['each is where the other should be', async ({ client, times, counts }) => await client.pipeline().rename(times, `${times}2`).rename(counts, times).rename(`${times}2`, counts).exec()]
] satisfies Array<[string, (redis: Awaited<ReturnType<typeof setUp>>) => Promise<unknown>]>) {
  test(`dismissals in Redis are counted anew, by and by, if ${description}`, async t => {
    const redis = await setUp(t)
    for (const user of ['a', 'b']) await redis.dismiss(user, ...numbered(40))
    await spoil(redis)
    await redis.dismiss('a', 'x')
    t.equal(await redis.total(), 41)
    await redis.dismiss('b', 'x')
    t.equal(await redis.total(), 82)
    await redis.dismiss('c', ...numbered(40))
    t.same([await redis.read('a'), (await redis.read('b')).length, await redis.total()], [[], 41, 81])
  })
}

test('a wrong sum is corrected when nobody is left who could give way', async t => {
  const { client, counts, dismiss, read, total } = await setUp(t)
  for (const user of ['a', 'b']) await dismiss(user, 'x')
  await client.hset(counts, 'total', 1_000_000)
  for (const user of ['c', 'd']) await dismiss(user, 'x')
  t.equal(await total(), 2)
  t.same([await read('c'), await read('d')], [['x'], ['x']])
})

test('a client with a key prefix of its own forgets under that prefix', async t => {
  const own = new Redis(server.url, { keyPrefix: 'app:' })
  t.teardown(() => own.disconnect())
  const { client, keyPrefix, dismiss, read } = await setUp(t, { redis: own })
  await dismiss('a', ...numbered(60))
  await dismiss('b', ...numbered(60))
  t.same([await read('a'), (await read('b')).length], [[], 60])
  t.same((await client.keys(`app:${keyPrefix}*`)).sort(), ['dismissed:counts', 'dismissed:times', '{:b}:dismissed'].map(name => `app:${keyPrefix}${name}`))
  t.same(await client.keys(`${keyPrefix}*`), [])
})

test('the ids of one turn of a user take one call, also where others are forgotten for them', async t => {
  const own = new Redis(server.url)
  t.teardown(() => own.disconnect())
  const { dismiss, total } = await setUp(t, { redis: own })
  for (const user of numbered(100)) await dismiss(user, 'x')
  const calls: unknown[] = []
  const { sendCommand } = own
  own.sendCommand = (...args) => {
    if (args[0].name.startsWith('eval')) calls.push(args[0].args[1])
    return Reflect.apply(sendCommand, own, args)
  }
  await dismiss('next', ...numbered(50))
  t.equal(calls.filter(numberOfKeys => Number(numberOfKeys) === 3).length, 1)
  t.equal(await total(), 100)
})

for (const [description, create] of [
  ['a client of clusters', (url: string) => new Cluster([url])],
  ['a client that knows nothing of it', (url: string) => new Redis(url)]
] as const) {
  test(`in a Redis cluster dismissals are bounded for each user alone: ${description}`, async t => {
    const node = await usePrivateRedis(t, { config: { 'cluster-enabled': 'yes', 'cluster-announce-ip': '127.0.0.1' } })
    const admin = new Redis(node.url)
    t.teardown(() => admin.disconnect())
    await admin.cluster('ADDSLOTSRANGE', 0, 16383)
    await eventually(async () => /cluster_state:ok/.test(await admin.cluster('INFO')), 'the cluster is up')
    const redis = create(node.url)
    t.teardown(() => redis.disconnect())
    const { store, read, dismiss, keyPrefix } = await setUp(t, { redis })
    for (const user of numbered(4)) await dismiss(user, ...numbered(100), ...numbered(20, 100))
    for (const user of numbered(4)) t.equal((await read(user)).length, 100)
    t.equal(store.failing, false)
    t.same((await admin.keys(`${keyPrefix}*`)).length, 4)
  })
}
