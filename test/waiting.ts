// What has no outcome yet, and what it waits for.
import { test } from 'tap'
import notificationPlugin, { type TraceEntry } from '../src/index.js'
import { createApp, startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { eventually } from './support/eventually.js'
import { startMeasured } from './support/measured.js'
import { usePrivateRedis } from './support/redis.js'
import { refuseDeadLetters } from './support/refuse-dead-letters.js'
import { connectRich } from './support/rich-client.js'

const options = { settle: 'acknowledged', journal: 100 } as const

/** The entries without an outcome in short. */
const waits = (entries: TraceEntry[]) => entries.filter(({ event }) => event === 'waiting').map(({ id, reason }) => `${id} ${reason}`)

test('health, metrics and trace say what each unsettled message waits for', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await refuseDeadLetters(broker, queue)
  const { app, notifications, value } = await startMeasured(t, { ...options, amqpUrl: broker.url, queue, maxUnacked: 1, maxDeliveries: 20 })
  const before = Date.now()
  const [silent, unable] = [await connectRich(t, notifications('123')), await connectRich(t, notifications('456'))]
  await broker.publish(queue, { userId: '123', content: 'hi', id: 'a' }, { userId: '123', content: 'hi', id: 'b' }, { userId: '456', content: 'hi', id: 'c' })
  await broker.publishWith({ messageId: 'd' }, queue, 'no JSON')
  await silent.framesReceived(1)
  await unable.framesReceived(1)
  t.same(app.notifier.health().waitingFor.ack, 2)
  unable.nack('c')
  const expected = { ack: 1, room: 1, hold: 0, peers: 0, 'dead-letters': 1, retry: 1, decode: 0 }
  await eventually(() => app.notifier.health().waitingFor.retry === 1 && app.notifier.health().unsettled === 4, 'all wait')
  t.same(app.notifier.health().waitingFor, expected)
  for (const [cause, count] of Object.entries(expected)) t.equal(await value(`waiting{queue="${queue}",cause="${cause}"}`), count, cause)

  t.same(waits(app.notifier.trace()).toSorted(), ['a ack', 'b room', 'c retry', 'd dead-letters'])
  const entries = app.notifier.trace({ userId: '123' }).filter(({ event }) => event === 'waiting').toSorted((one, other) => one.id! < other.id! ? -1 : 1)
  t.match(entries, [{ id: 'a', reason: 'ack', from: 'queue', queue, connections: 1 }, { id: 'b', reason: 'room', from: 'queue', queue }])
  for (const { at } of entries) t.ok(at.getTime() >= before - 1 && at.getTime() <= Date.now(), `${at.toISOString()}`)
  silent.ack('a')
  await silent.framesReceived(2)
  t.same(waits(app.notifier.trace({ userId: '123' })), ['b ack'])
  silent.ack('b')
  await eventually(() => app.notifier.health().unsettled === 2, 'settled')
  t.same(waits(app.notifier.trace({ userId: '123' })), [])
})

test('two messages of one id that are under way both count', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { ...options, amqpUrl: broker.url, queue })
  const client = await connectRich(t, notifications('123'))
  const message = { userId: '123', content: 'hi', id: 'a' }
  await broker.publish(queue, message, message)
  await eventually(() => app.notifier.health().unsettled === 2, 'both')
  t.equal(app.notifier.health().waitingFor.ack, 2)
  await client.framesReceived(1)
  client.ack('a')
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  t.equal(app.notifier.health().waitingFor.ack, 0)
})

test('what waits for Redis waits for the hold, and what is held and not acknowledged waits for its client', async t => {
  const broker = await useBroker(t)
  const redis = await usePrivateRedis(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { ...options, amqpUrl: broker.url, queue, offline: 'hold', hold: { redis: redis.url } })
  await app.notifier.notify('123', 'hi', { id: 'held' })
  await redis.stop()
  await broker.publish(queue, { userId: '456', content: 'hi', id: 'a' })
  await eventually(() => app.notifier.health().waitingFor.hold === 1, 'it waits')
  t.same(waits(app.notifier.trace({ userId: '456' })), ['a hold'])
  await redis.start()
  await eventually(() => app.notifier.health().waitingFor.hold === 0, 'held')
  const client = await connectRich(t, notifications('123'))
  await client.framesReceived(1)
  t.match(app.notifier.trace({ id: 'held' }), [{ event: 'held', from: 'notify' }, { event: 'waiting', reason: 'ack', from: 'hold' }])
  t.equal(app.notifier.health().waitingFor.ack, 0, 'nothing of the queue waits for it')
})

test('what another instance has waits for peers here, and for its client there', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
  const [one, two] = [await startApp(t, { ...options, amqpUrl: broker.url, queue, cluster: true }), await startApp(t, { ...options, amqpUrl: broker.url, queue, cluster: true })]
  const client = await connectRich(t, two.notifications('123'))
  await broker.publish(queue, { userId: '123', content: 'hi', id: 'a' })
  await client.framesReceived(1)
  t.match(one.app.notifier.health(), { unsettled: 1, waitingFor: { peers: 1, ack: 0 } })
  t.match(one.app.notifier.trace({ id: 'a' }), [{ event: 'waiting', reason: 'peers', userId: '123', from: 'queue', queue }])
  t.match(two.app.notifier.trace({ id: 'a' }), [{ event: 'waiting', reason: 'ack', userId: '123', from: 'relay', connections: 1 }])
  t.match(two.app.notifier.health(), { unsettled: 0, waitingFor: { ack: 0 } })
})

test('a message that is being decoded, and those behind it, wait for decode', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const decoding: Array<() => void> = []
  const { app } = await startApp(t, {
    ...options,
    amqpUrl: broker.url,
    queue,
    decode: async () => {
      await new Promise<void>(resolve => decoding.push(resolve))
      return undefined
    }
  })
  for (const messageId of ['a', 'b']) await broker.publishWith({ messageId }, queue, '{}')
  await eventually(() => decoding.length === 2, 'both are being decoded')
  t.match(app.notifier.health(), { unsettled: 2, waitingFor: { decode: 2 } })
  t.same(waits(app.notifier.trace({ id: 'b' })), ['b decode'])
  decoding[1]!()
  decoding[0]!()
  await eventually(() => app.notifier.health().unsettled === 0, 'decoded')
  t.equal(app.notifier.health().waitingFor.decode, 0)
})

test('a call whose dead letter is on its way has no outcome yet', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app } = await startApp(t, { amqpUrl: broker.url, queue, journal: 100, offline: 'dead-letter' })
  const outcome = app.notifier.notify('123', 'hi', { id: 'x' })
  t.match(app.notifier.trace({ userId: '123' }), [{ event: 'waiting', reason: 'dead-letters', id: 'x', from: 'notify' }])
  await outcome
  t.match(app.notifier.trace({ userId: '123' }), [{ event: 'dead-lettered' }])
})

test('trace() takes the query of a request as it came', async t => {
  const { app } = createApp(t)
  await app.register(notificationPlugin, { journal: 100 })
  app.get('/trace', async ({ query }) => app.notifier.trace(query))
  await app.notifier.notify('123', 'hi', { id: 'x' })
  await app.notifier.notify('123', 'hi', { id: 'y' })
  const ask = async (query: string) => {
    const response = await app.inject(`/trace${query}`)
    const body = response.json()
    return response.statusCode === 200 ? body.map(({ id }: TraceEntry) => id) : [response.statusCode, body.code]
  }
  t.same(await ask('?userId=123'), ['x', 'y'])
  t.same(await ask('?userId=123&id=x'), ['x'])
  t.same(await ask('?userId=123&id='), ['x', 'y'], 'a field of a form that was left empty')
  t.same(await ask('?id=y&format=json'), ['y'])
  for (const query of ['', '?userId=', '?user=123', '?userId=1&userId=2']) t.same(await ask(query), [400, 'FST_NOTIFICATION_INVALID_USER_ID'], query)
  t.same(await ask('?id=x&id=y'), [400, 'FST_NOTIFICATION_INVALID_ID'])
})
