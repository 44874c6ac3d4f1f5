import { readFile } from 'node:fs/promises'
import { Redis } from 'ioredis'
import { test } from 'tap'
import { TOTAL_KEYS } from '../src/hold/totals-script.js'
import { metricTable } from '../src/observability/metrics/table.js'
import { userNameOf } from '../src/rabbitmq/amqplib.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { assertBounded, startMeasured } from './support/measured.js'
import { startProxy } from './support/proxy.js'
import { usePrivateRedis } from './support/redis.js'
import { connectRich } from './support/rich-client.js'

test('metrics count outcomes and reasons, show the consumer, and how long deliveries took', async t => {
  const broker = await useBroker(t)
  const queues = [broker.queueName(), broker.queueName()]
  const [queue, other] = queues as [string, string]
  const { app, notifications, registry, value, reaches } = await startMeasured(t, { amqpUrl: broker.url, queue: queues, prefetch: 77 })
  const user = 'who-must-not-be-named'
  const client = await connectClient(t, notifications(user))
  const message = { userId: user, content: 'hi', id: 'id-of-somebody' }
  await broker.publish(queue, message, message, { userId: 'nobody', content: 'hi' }, 'no JSON', '{}', Buffer.from([0xff]))
  await broker.publish(other, message)
  await client.received(3)
  await app.notifier.notify(user, 'hi')

  for (const [reason, count] of Object.entries({ 'invalid-json': 1, 'invalid-message': 1, 'invalid-utf8': 1, 'too-large': 0, offline: 0, 'delivery-limit': 0 })) {
    await reaches(`messages_total{outcome="dead-lettered",reason="${reason}"}`, count)
  }
  for (const [outcome, count] of Object.entries({ sent: 4, offline: 1, acknowledged: 0, held: 0 })) await reaches(`messages_total{outcome="${outcome}"}`, count)
  t.equal(await value('abandoned_total'), 0)

  const since = 'delivery_since_consumption_seconds'
  await reaches(`${since}_count{queue="${queue}",outcome="dead-lettered"}`, 3)
  t.equal(await value(`${since}_count{queue="${queue}",outcome="sent"}`), 2)
  t.equal(await value(`${since}_count{queue="${queue}",outcome="offline"}`), 1)
  t.equal(await value(`${since}_count{queue="${other}",outcome="sent"}`), 1, 'notify() consumes nothing')
  t.equal(await value(`${since}_bucket{le="60",queue="${queue}",outcome="sent"}`), 2)
  const seconds = await value(`${since}_sum{queue="${queue}",outcome="sent"}`)
  t.ok(seconds! > 0 && seconds! < 60, `${seconds} s`)
  t.equal(await value(`delivery_since_publish_seconds_count{queue="${queue}",outcome="sent"}`), undefined, 'nobody has said when')

  for (const queue of queues) {
    t.equal(await value(`consuming{queue="${queue}"}`), 1)
    t.equal(await value(`unsettled{queue="${queue}"}`), 0)
    t.equal(await value(`prefetch{queue="${queue}"}`), 77)
    t.equal(await value(`reconnects_total{purpose="consumer",queue="${queue}"}`), 0)
  }
  t.equal(await value('ready'), 1)
  t.equal(await value('state{state="consuming"}'), 1)
  t.equal(await value('state{state="connecting"}'), 0)
  for (const secret of [user, 'nobody', 'id-of-somebody', client.socket.url]) t.notMatch(await registry.metrics(), secret)
  await assertBounded(t, registry, queues)
})

test('metrics count how many users each message to many was for, from a queue and from a call', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications, value, reaches } = await startMeasured(t, { amqpUrl: broker.url, queue, authenticate: false })
  await Promise.all(['a', 'b', 'c'].map(userId => connectClient(t, notifications(userId))))
  for (const userId of ['a', 'b']) await app.notifier.join(userId, 'g')
  await broker.publish(queue, { userIds: ['a', 'nobody', 'a'], content: 'hi' }, { group: 'g', content: 'hi' }, { everybody: true, except: ['a'], content: 'hi' }, { userId: 'a', content: 'hi' })
  await eventually(() => app.notifier.stats().sent === 6, 'sent')
  await app.notifier.notifyMany(['a', 'b', 'c'], 'hi')
  await app.notifier.notifyGroup('g', 'hi', { except: ['a'] })
  await app.notifier.broadcast('hi')
  for (const [to, users] of Object.entries({ users: 5, group: 3, everybody: 5 })) {
    await reaches(`recipients_sum{to="${to}"}`, users)
    t.equal(await value(`recipients_count{to="${to}"}`), 2)
  }
  const since = `delivery_since_consumption_seconds_count{queue="${queue}",outcome=`
  await reaches(`${since}"sent"}`, 3)
  t.equal(await value(`${since}"mixed"}`), 1, 'one of its users was offline')
})

test('metrics take the time since the publish in seconds, in milliseconds, or from the header of RabbitMQ', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { value, reaches } = await startMeasured(t, { amqpUrl: broker.url, queue })
  const series = (end: string) => `delivery_since_publish_seconds_${end}{queue="${queue}",outcome="offline"}`
  const ago = Date.now() - 100_000
  let sum = 0
  for (const [n, properties] of [
    { timestamp: Math.floor(ago / 1_000) },
    { timestamp: ago },
    { timestamp: 1, headers: { timestamp_in_ms: ago } }
  ].entries()) {
    await broker.publishWith(properties, queue, { userId: '1', content: 'hi' })
    await reaches(series('count'), n + 1)
    const now = (await value(series('sum')))!
    t.ok(now - sum >= 99.9 && now - sum < 160, `${now - sum} s`)
    sum = now
  }
  await broker.publishWith({ timestamp: Math.ceil(Date.now() / 1_000) + 1_000 }, queue, { userId: '1', content: 'from the future' })
  await reaches(series('count'), 4)
  t.equal(await value(series('sum')), sum)
  await broker.publish(queue, { userId: '1', content: 'without' })
  await reaches(`delivery_since_consumption_seconds_count{queue="${queue}",outcome="offline"}`, 5)
  t.equal(await value(series('count')), 4)
})

test('metrics count what is held in memory, released and dropped', async t => {
  const { app, notifications, value, reaches } = await startMeasured(t, { offline: 'hold', settle: 'acknowledged', hold: { maxCount: 3 } })
  for (let n = 0; n < 5; n++) await app.notifier.notify('123', n)
  t.equal(await value('held'), 3)
  t.equal(await value('messages_total{outcome="held"}'), 5)
  t.equal(await value('dropped_total{reason="overflow"}'), 2)
  t.equal(await value('dropped_total{reason="expired"}'), 0)
  t.equal(await value('hold_failing'), 0)
  t.equal(await value('unsettled'), undefined, 'there is no broker')
  const client = await connectRich(t, notifications('123'))
  client.ack(...(await client.framesReceived(3)).map(({ id }) => id!))
  await reaches('released_total', 3)
  await reaches('held', 0)
  t.equal(await value('messages_total{outcome="acknowledged"}'), 3)
})

test('in metrics, what there is no room for at all is offline, and dropped, and was never held', async t => {
  const { app, value } = await startMeasured(t, { offline: 'hold', hold: { maxBytes: 10 } })
  t.match(await app.notifier.notify('123', 'more than ten bytes'), { outcome: 'offline' })
  t.equal(await value('messages_total{outcome="offline"}'), 1)
  t.equal(await value('messages_total{outcome="held"}'), 0)
  t.equal(await value('dropped_total{reason="overflow"}'), 1)
})

test('Redis tells how much is held, as the documents say; metrics do not count what expires there', async t => {
  const redis = await usePrivateRedis(t)
  const { app, value } = await startMeasured(t, { offline: 'hold', hold: { redis: redis.url, maxAge: 8_000 } })
  const client = new Redis(redis.url)
  t.teardown(() => client.quit())
  await client.ping()
  const page = await readFile(new URL('../docs/operation.md', import.meta.url), 'utf8')
  for (const content of ['a', 'b']) await app.notifier.notify('123', content)
  await app.notifier.notify('456', 'c')
  const [, pattern] = /redis-cli --scan --pattern '(.*?)'/.exec(page)!
  const [, key] = /redis-cli zcard '(.*?)'/.exec(page)!
  t.equal((await client.keys(pattern!)).length, 2)
  t.equal(await client.zcard(key!), 2)
  await eventually(async () => await client.dbsize() === TOTAL_KEYS.length, 'expired; the totals of all users are corrected by the next change')
  t.equal(await value('messages_total{outcome="held"}'), 3)
  t.equal(await value('dropped_total{reason="expired"}'), 0)
})

test('metrics show a hold that fails', async t => {
  const redis = await usePrivateRedis(t)
  const { value, reaches } = await startMeasured(t, { offline: 'hold', hold: { redis: redis.url } })
  t.equal(await value('hold_failing'), 0)
  t.equal(await value('held'), undefined, 'they are not in this process')
  await redis.stop()
  await reaches('hold_failing', 1)
  t.equal(await value('state{state="hold-failing"}'), 1)
})

test('metrics count connections to the broker that were opened again', async t => {
  const broker = await useBroker(t)
  const proxy = await startProxy(t, broker.url)
  const queue = broker.queueName()
  const { app, value, reaches } = await startMeasured(t, { amqpUrl: proxy.through(broker.url), queue, reconnect: { initialDelay: 2_000, maxDelay: 2_000 } })
  proxy.reset('consumer')
  await reaches(`consuming{queue="${queue}"}`, 0)
  t.equal(await value('ready'), 0)
  await reaches(`reconnects_total{purpose="consumer",queue="${queue}"}`, 1)
  await reaches(`consuming{queue="${queue}"}`, 1)
  t.equal(await value('reconnects_total{purpose="publisher"}'), 0)
  proxy.reset('publisher')
  await reaches('reconnects_total{purpose="publisher"}', 1)
  await broker.channel.deleteQueue(queue)
  await reaches(`reconnects_total{purpose="consumer",queue="${queue}"}`, 2)
  t.match(app.notifier.health(), { state: 'consuming' })
})

test('metrics count what several instances relayed, and show how long that took', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
  const options = { amqpUrl: broker.url, queue, cluster: true, settle: 'acknowledged' } as const
  const one = await startMeasured(t, options)
  const two = await startMeasured(t, options)
  for (const instance of [one, two]) await instance.reaches('peers', 1)
  t.equal(await one.value('peer_users'), 0)
  const announced = await two.value('announcements_total')
  const client = await connectRich(t, two.notifications('123'))
  await one.reaches('peer_users', 1)
  t.equal(await two.value('peer_users'), 0, 'a user of its own is none of a peer')
  t.equal(await two.value('announcements_total'), announced! + 1)

  t.match(await one.app.notifier.notify('nobody', 'hi'), { outcome: 'offline' })
  t.ok(await one.value('marker_seconds_count'), 'nobody is called offline before a marker has come back')
  const pending = one.app.notifier.notify('123', 'hi', { id: 'x' })
  await client.framesReceived(1)
  client.ack('x')
  t.match(await pending, { outcome: 'acknowledged' })
  t.equal(await one.value('messages_total{outcome="acknowledged"}'), 1)
  t.equal(await one.value('relayed_total'), 1)
  t.equal(await two.value('messages_total{outcome="acknowledged"}'), 0, 'the instance that took it counts it')
  t.equal(await one.value('relay_receipt_seconds_count{receipt="taken"}'), 1)
  t.equal(await one.value('relay_receipt_seconds_count{receipt="acknowledged"}'), 1)
  const seconds = await one.value('relay_receipt_seconds_sum{receipt="acknowledged"}')
  t.ok(seconds! > 0 && seconds! < 60, `${seconds} s`)
  for (const purpose of ['publisher', 'relay']) t.equal(await one.value(`reconnects_total{purpose="${purpose}"}`), 0)

  // Published for all instances, by no instance.
  for (const properties of [{}, { userId: userNameOf(broker.url) }]) broker.channel.publish(`${queue}.relay`, '', Buffer.from('{"v":0}'), properties)
  for (const instance of [one, two]) {
    await instance.reaches('frames_dropped_total{fault="foreign"}', 1)
    await instance.reaches('frames_dropped_total{fault="other-version"}', 1)
    for (const fault of ['malformed', 'too-large']) t.equal(await instance.value(`frames_dropped_total{fault="${fault}"}`), 0)
  }

  await assertBounded(t, one.registry, [queue])

  // All that there can be is there: but for what is only in the hold, or without cluster: true.
  const names = new Set(one.registry.getMetricsAsArray().map(({ name }) => name))
  const { held, holdFailing, released, dropped, otherConsumers, ...others } = metricTable
  t.same([...names].sort(), Object.values(others).map(({ name }) => name).sort())
})
