import { Redis } from 'ioredis'
import { test, type Test } from 'tap'
import { startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { usePrivateRedis } from './support/redis.js'

async function start (t: Test, settle: 'sent' | 'acknowledged' = 'sent') {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const server = await usePrivateRedis(t)
  const client = new Redis(server.url)
  t.teardown(() => client.disconnect())
  const testApp = await startApp(t, { amqpUrl: broker.url, queue, settle, offline: 'hold', drainTimeout: 500, hold: { redis: server.url } })
  const hold = async (userId: string, ...contents: unknown[]) => {
    const before = testApp.app.notifier.stats().held
    await broker.publish(queue, ...contents.map(content => ({ userId, content })))
    await eventually(() => testApp.app.notifier.stats().held === before + contents.length, 'held')
  }
  return { ...testApp, broker, queue, client, hold }
}

test('fault 98: while Redis is full, users who are online get theirs, and what is held is delivered and removed', async t => {
  const { app, notifications, broker, queue, client, hold } = await start(t)
  await hold('back', 'held before', 'and this')
  await client.config('SET', 'maxmemory', '1')
  await broker.publish(queue, { userId: 'absent', content: 'waits' })
  await eventually(() => app.notifier.health().unsettled === 1, 'it waits')
  const online = await connectClient(t, notifications('online'))
  await broker.publish(queue, { userId: 'online', content: 'now' })
  t.same(await online.received(1), ['now'])
  const back = await connectClient(t, notifications('back'))
  t.same(await back.received(2), ['held before', 'and this'])
  await eventually(async () => (await client.keys('*')).length === 0, 'removed, and not counted any more')
  await client.config('SET', 'maxmemory', '0')
  await eventually(() => app.notifier.health().unsettled === 0, 'it is held')
  const absent = await connectClient(t, notifications('absent'))
  t.same(await absent.received(1), ['waits'])
})

for (const name of ['order', 'expiry', 'data']) {
  test(`fault 98: a key of the wrong type stops nobody: ${name}`, async t => {
    const { app, log, notifications, broker, queue, client, hold } = await start(t)
    await client.set(`notification:{:victim}:${name}`, 'x')
    await hold('victim', 'a', 'b')
    const victim = await connectClient(t, notifications('victim'))
    t.same(await victim.received(2), ['a', 'b'])
    await broker.publish(queue, { userId: 'victim', content: 'c' })
    t.same(await victim.received(3), ['a', 'b', 'c'])
    t.match(app.notifier.stats(), { dropped: { broken: 1 } })
    t.match(await log.line('hold has broken records, which are removed'), { level: 50, userId: 'victim', count: 1 })
  })
}

test('fault 98: broken records are skipped, counted and removed', async t => {
  const { app, notifications, client, hold } = await start(t)
  const contents = Array.from({ length: 8 }, (_, n) => `n${n}`)
  await hold('123', ...contents)
  const data = 'notification:{:123}:data'
  const members: string[] = await client.zrange('notification:{:123}:order', 0, '-1')
  const ids = members.map(member => member.slice(17))
  const record = (await client.hget(data, `:${ids[3]}`))!
  await client.hset(data, `:${ids[0]}`, record)
  await client.hset(data, `:${ids[1]}`, (await client.hget(data, `:${ids[1]}`))!.replace(/"n1"$/, '"n1'))
  await client.hdel(data, `:${ids[2]}`)
  await client.hset(data, 'bytes', 'many')
  const back = await connectClient(t, notifications('123'))
  t.same(await back.received(5), contents.slice(3))
  await eventually(() => app.notifier.stats().dropped.broken === 3, 'counted')
  await eventually(async () => (await client.keys('*')).length === 0, 'nothing is left')
})

test('fault 98: only broken records: what comes after them is delivered', async t => {
  const { notifications, client, hold } = await start(t)
  await hold('123', ...Array.from({ length: 150 }, (_, n) => n))
  const data = 'notification:{:123}:data'
  const members: string[] = await client.zrange('notification:{:123}:order', 0, '-1')
  for (const [n, member] of members.slice(0, 140).entries()) await client.hset(data, `:${member.slice(17)}`, n % 2 === 0 ? 'nonsense' : `${member.slice(0, 16)} 9 1 Infinity "`)
  const back = await connectClient(t, notifications('123'))
  t.same((await back.received(10)).map(Number), Array.from({ length: 10 }, (_, n) => n + 140))
})
