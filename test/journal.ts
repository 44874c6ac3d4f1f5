import { test } from 'tap'
import notificationPlugin, { type TraceEntry } from '../src/index.js'
import { createApp, startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { startWithReleased } from './support/released.js'
import { usePrivateRedis } from './support/redis.js'
import { connectRich } from './support/rich-client.js'

const journal = 100

/** The entries in short: what happened, and why. */
const told = (entries: TraceEntry[]) => entries.map(({ event, reason, code }) => [event, code ?? reason].filter(part => part !== undefined).join(' '))

test('the journal says why user 123 did not get message x: they were not connected then', async t => {
  const { app, notifications } = await startApp(t, { journal })
  const client = await connectClient(t, notifications('123'))
  await app.notifier.notify('123', 'a secret', { id: 'w' })
  await client.close()
  await eventually(() => app.notifier.size === 0, 'gone')
  const before = Date.now()
  await app.notifier.notify('123', 'a secret', { id: 'x' })
  await app.notifier.notify('456', 'a secret', { id: 'y' })

  const entries = app.notifier.trace({ userId: '123' })
  t.match(entries, [
    { event: 'connected', connectionId: /^[0-9a-f]{24}$/ },
    { event: 'sent', id: 'w', from: 'notify', connections: 1 },
    { event: 'disconnected', connectionId: entries[0]!.connectionId, code: 1005, reason: 'closed without a code' },
    { event: 'offline', id: 'x', from: 'notify', connections: 0 }
  ])
  t.ok(entries.every(({ userId }) => userId === '123'))
  t.ok(entries[3]!.at.getTime() >= before && entries[3]!.at.getTime() <= Date.now())
  t.notMatch(JSON.stringify(app.notifier.trace()), 'secret')
})

test("in the journal, a socket that is the application's again is no connection any more", async t => {
  const { app } = await startWithReleased(t, { journal })
  const entries = app.notifier.trace({ userId: '123' })
  t.same(told(entries), ['connected', 'disconnected'])
  t.equal(entries[1]!.connectionId, entries[0]!.connectionId)
})

test('the journal is asked by id, by user and id, or for everything', async t => {
  const { app } = await startApp(t, { journal })
  await app.notifier.notifyMany(['123', '456'], 'hi', { id: 'x' })
  await app.notifier.notify('123', 'hi', { id: 'y' })
  t.match(app.notifier.trace({ id: 'x' }), [{ userId: '123' }, { userId: '456' }])
  t.match(app.notifier.trace({ userId: '123', id: 'x' }), [{ userId: '123', id: 'x' }])
  t.equal(app.notifier.trace().length, 3)
  t.same(app.notifier.trace({ userId: 'nobody' }), [])
  // As from a query in which it was left out: not everybody's.
  t.throws(() => app.notifier.trace({ userId: undefined }), { code: 'FST_NOTIFICATION_INVALID_USER_ID' })
})

test('the journal keeps the last so many entries, and hands out copies', async t => {
  const { app } = await startApp(t, { journal: 3 })
  const ids = () => app.notifier.trace().map(({ id }) => id)
  for (const id of ['a', 'b', 'c']) await app.notifier.notify('123', 'hi', { id })
  t.same(ids(), ['a', 'b', 'c'])
  for (const id of ['d', 'e']) await app.notifier.notify('123', 'hi', { id })
  t.same(ids(), ['c', 'd', 'e'])
  Object.assign(app.notifier.trace()[0]!, { id: 'changed' }).at.setTime(0)
  app.notifier.trace().pop()
  t.same(ids(), ['c', 'd', 'e'])
  t.not(app.notifier.trace()[0]!.at.getTime(), 0)
})

test('without the option there is no journal, and asking for it is an error that says so', async t => {
  const { app } = createApp(t)
  await app.register(notificationPlugin, {})
  t.throws(() => app.notifier.trace(), { code: 'FST_NOTIFICATION_NO_JOURNAL' })
})

test('the journal has what comes from the queue, with the reason of a dead letter', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app } = await startApp(t, { amqpUrl: broker.url, queue, journal, offline: 'dead-letter' })
  await broker.publishWith({ messageId: 'm' }, queue, 'no JSON', { userId: '123', content: 'hi', id: 'x' })
  await eventually(() => app.notifier.trace().filter(({ event }) => event === 'dead-lettered').length === 2, 'both')
  t.match(app.notifier.trace({ id: 'm' }), [{ event: 'dead-lettered', reason: 'invalid-json', from: 'queue', queue }])
  t.match(app.notifier.trace({ userId: '123' }), [{ event: 'dead-lettered', reason: 'offline', id: 'x', from: 'queue', queue, connections: 0 }])
})

test('the journal says what was held, and sent later, or dropped unseen', async t => {
  const { app, notifications } = await startApp(t, { journal, offline: 'hold', hold: { maxCount: 2 } })
  for (const id of ['a', 'b', 'c']) await app.notifier.notify('123', 'hi', { id })
  const client = await connectClient(t, notifications('123'))
  await client.received(2)
  t.same(told(app.notifier.trace({ id: 'a' })), ['held', 'dropped overflow'])
  t.match(app.notifier.trace({ id: 'b' }), [{ event: 'held', from: 'notify' }, { event: 'sent', from: 'hold', connections: 1 }])
})

test('the journal knows what expired in Redis by its user, and what there was no room for by its id too', async t => {
  const redis = await usePrivateRedis(t)
  const full = await startApp(t, { journal, offline: 'hold', hold: { redis: redis.url, keyPrefix: 'full:', maxCount: 1 } })
  for (const id of ['a', 'b']) await full.app.notifier.notify('123', 'hi', { id })
  t.same(told(full.app.notifier.trace({ id: 'a' })), ['held', 'dropped overflow'])

  const { app } = await startApp(t, { journal, offline: 'hold', hold: { redis: redis.url, maxAge: 1_000 } })
  await eventually(async () => {
    await app.notifier.notify('123', 'hi')
    return app.notifier.stats().dropped.expired > 0
  }, 'expired')
  t.match(app.notifier.trace({ userId: '123' }).find(({ reason }) => reason === 'expired'), { event: 'dropped', count: Number, from: 'hold' })
})

test('the journal says what was acknowledged, and why a connection was closed', async t => {
  const { app, notifications } = await startApp(t, { journal, settle: 'acknowledged', ackTimeout: 2_000, heartbeat: { interval: 500, timeout: 200 } })
  const client = await connectRich(t, notifications('123'))
  const pending = app.notifier.notify('123', 'hi', { id: 'x' })
  await client.framesReceived(1)
  t.same(told(app.notifier.trace({ id: 'x' })), ['waiting ack'], 'it has no outcome yet')
  client.ack('x')
  await pending
  t.same(told(app.notifier.trace({ id: 'x' })), ['acknowledged'])
  await app.notifier.notify('123', 'hi', { id: 'y' })
  await client.closed
  await eventually(() => app.notifier.trace().length === 5, 'closed')
  t.same(told(app.notifier.trace({ userId: '123' })), ['connected', 'acknowledged', 'closing 4002', 'offline', 'disconnected 4002'])
})

test('in the journal, what the broker delivers again is abandoned, and has one outcome', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, log, notifications } = await startApp(t, { amqpUrl: broker.url, queue, journal, settle: 'acknowledged' })
  const client = await connectRich(t, notifications('123'))
  await broker.publish(queue, { userId: '123', content: 'hi', id: 'x' })
  await client.framesReceived(1)
  // The queue is deleted under the consumer, whose channel is opened again.
  await broker.channel.deleteQueue(queue)
  await log.line('consumer cancelled by the broker')
  client.ack('x')
  await eventually(() => app.notifier.stats().abandoned === 1, 'abandoned')
  t.match(app.notifier.trace({ id: 'x' }), [{ event: 'acknowledged', from: 'queue', queue }, { event: 'abandoned', queue }])
})

test('the journal says that notify() failed', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app } = await startApp(t, { amqpUrl: broker.url, queue, journal, offline: 'dead-letter' })
  await broker.channel.deleteQueue(`${queue}.dead`)
  await t.rejects(app.notifier.notify('123', 'hi', { id: 'x' }))
  t.match(app.notifier.trace({ id: 'x' }), [{ event: 'failed', reason: 'FST_NOTIFICATION_PUBLISH_FAILED', userId: '123', from: 'notify' }])
})

test("in a cluster each instance's journal has its own view", async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
  const options = { amqpUrl: broker.url, queue, cluster: true, journal }
  const one = await startApp(t, options)
  const two = await startApp(t, options)
  await connectClient(t, two.notifications('123'))
  await eventually(() => two.app.notifier.connections('123') === 1, 'bound')
  await one.app.notifier.notify('123', 'hi', { id: 'x' })
  await one.app.notifier.notify('456', 'hi', { id: 'y' })
  await one.app.notifier.broadcast('hi', { id: 'z' })
  await eventually(() => two.app.notifier.trace({ id: 'z' }).length === 1, 'broadcast')
  t.match(one.app.notifier.trace(), [{ event: 'sent', reason: 'relayed', id: 'x', from: 'notify', connections: 1 }, { event: 'offline', id: 'y' }])
  t.match(two.app.notifier.trace({ userId: '123' }), [{ event: 'connected' }, { event: 'sent', id: 'x', from: 'relay', connections: 1 }, { event: 'sent', id: 'z' }])
})
