// Notifications that clients can't handle.
import { test } from 'tap'
import { startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { eventually } from './support/eventually.js'
import { startInstances } from './support/instances.js'
import { createClient, next } from './support/notification-client.js'
import { connectRich, type RichClient } from './support/rich-client.js'

const settle = 'acknowledged'

/** Lets a client reject the content `poison`, and acknowledge the rest, also what has come already. */
function rejecting (client: RichClient): RichClient {
  client.onFrame(({ type, id, content }) => { if (type === 'notification') content === 'poison' ? client.nack(id!) : client.ack(id!) })
  return client
}

test('fault 75: what a client rejects comes again after a while, on the same connection, and is in the dead-letter queue after maxDeliveries', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, settle, maxDeliveries: 2, maxUnacked: 1, journal: 100 })
  const client = await connectRich(t, notifications('123'))
  const bodies = ['poison', 'a', 'b', 'c'].map(content => ({ userId: '123', content, id: content }))
  await broker.publish(queue, ...bodies)
  await eventually(() => app.notifier.health().unsettled === 4, 'all are there before one is rejected, and comes again')
  rejecting(client)
  const frames = await client.framesReceived(5)
  t.same(frames.map(({ id, redelivered = false }) => `${id} ${redelivered}`), ['poison false', 'a false', 'b false', 'c false', 'poison true'], 'those behind it are not blocked')
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  const [letter] = await broker.takeAll(`${queue}.dead`, 1)
  t.same(JSON.parse(letter!.content.toString()), bodies[0])
  t.match(letter!.properties.headers, { 'x-notification-reason': 'rejected', 'x-notification-queue': queue })
  t.match(app.notifier.stats(), { acknowledged: 3, deadLettered: { rejected: 1, offline: 0 } })
  t.match(app.notifier.trace({ id: 'poison' }).at(-1), { event: 'dead-lettered', reason: 'rejected' })
  t.equal(client.socket.readyState, client.socket.OPEN, 'no connection is cut for it')
})

test('fault 75: a notification of notify() that is rejected is dead-lettered, and its caller told; without a broker it fails', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const one = await startApp(t, { amqpUrl: broker.url, queue, settle, maxDeliveries: 1 })
  rejecting(await connectRich(t, one.notifications('123')))
  t.match(await one.app.notifier.notify('123', 'poison', { id: 'p' }), { outcome: 'dead-lettered' })
  t.match((await broker.takeAll(`${queue}.dead`, 1))[0]!.properties.headers, { 'x-notification-reason': 'rejected' })

  const other = await startApp(t, { settle, maxDeliveries: 1 })
  rejecting(await connectRich(t, other.notifications('123')))
  await t.rejects(other.app.notifier.notify('123', 'poison'), { code: 'FST_NOTIFICATION_REJECTED' })
  t.match(await other.app.notifier.notify('123', 'fine'), { outcome: 'acknowledged' })
})

test('fault 75: a rejected notification of the hold is tried again, dead-lettered, and removed from the hold', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, settle, offline: 'hold', maxDeliveries: 2, maxUnacked: 1 })
  for (const content of ['poison', 'a', 'b']) await app.notifier.notify('123', content, { id: content })
  const client = rejecting(await connectRich(t, notifications('123')))
  t.same((await client.framesReceived(4)).map(({ id }) => id), ['poison', 'a', 'b', 'poison'])
  t.match((await broker.takeAll(`${queue}.dead`, 1))[0]!.properties.headers, { 'x-notification-reason': 'rejected' })
  const later = rejecting(await connectRich(t, notifications('123')))
  await app.notifier.notify('123', 'new', { id: 'new' })
  t.same((await later.framesReceived(1)).map(({ id }) => id), ['new'], 'nothing is held any more')
})

test('fault 75: another connection of the user may handle what one has rejected', async t => {
  const { app, notifications } = await startApp(t, { settle, maxDeliveries: 1 })
  const [first, second] = [await connectRich(t, notifications('123')), await connectRich(t, notifications('123'))]
  const outcome = app.notifier.notify('123', 'x', { id: 'x' })
  await Promise.all([first, second].map(client => client.framesReceived(1)))
  first.nack('x', 'x', 'unknown')
  first.socket.send('{"type":"ping"}')
  await first.framesReceived(2)
  second.ack('x')
  t.match(await outcome, { outcome: 'acknowledged', connections: 2 })
})

test('fault 75: an acknowledgement that comes after the rejection settles the notification', async t => {
  const { app, notifications } = await startApp(t, { settle })
  const client = await connectRich(t, notifications('123'))
  const outcome = app.notifier.notify('123', 'x', { id: 'x' })
  await client.framesReceived(1)
  client.nack('x')
  client.ack('x')
  t.match(await outcome, { outcome: 'acknowledged' })
  client.ack('x')
  client.nack('x')
  await app.notifier.notify('456', 'x')
  t.equal(client.frames.length, 1)
})

test('fault 75: what is rejected and waits for the next try goes to the queue when the application closes', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, settle })
  const client = await connectRich(t, notifications('123'))
  await broker.publish(queue, { userId: '123', content: 'x', id: 'x' })
  await client.framesReceived(1)
  client.nack('x')
  client.socket.send('{"type":"ping"}')
  await client.framesReceived(2)
  await app.close()
  t.equal((await broker.takeAll(queue, 1)).length, 1)
  t.equal((await broker.takeAll(`${queue}.dead`)).length, 0)
})

test('fault 75: what a client at another instance rejects is dead-lettered once, and the instance that asked is told so', async t => {
  const { broker, queue, apps: [one, two] } = await startInstances(t, 2, { settle, maxDeliveries: 2, journal: 100 })
  const client = rejecting(await connectRich(t, two!.notifications('123')))
  t.match(await one!.app.notifier.notify('123', 'poison', { id: 'p' }), { outcome: 'dead-lettered' })
  t.equal(client.frames.length, 2)
  const [asking, hosting] = [one, two].map(instance => instance!.app.notifier.stats())
  t.match(asking, { acknowledged: 0, relayed: 0, deadLettered: { rejected: 1, offline: 0 } })
  t.match(hosting, { acknowledged: 0, deadLettered: { rejected: 0 } }, 'counted once')
  t.match(one!.app.notifier.trace({ userId: '123', id: 'p' }).at(-1), { event: 'dead-lettered', reason: 'rejected' })
  t.match((await broker.takeAll(`${queue}.dead`, 1)).map(({ properties }) => properties.headers), [{ 'x-notification-reason': 'rejected' }])
})

test('fault 75: a handler of the client that always throws ends in the dead-letter queue, and the connection stays', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, settle, maxDeliveries: 2, ackTimeout: 60_000 })
  let tries = 0
  const client = createClient(t, notifications('123'), { onNotification ({ id }) { if (id === 'poison') throw new Error(`try ${++tries}`) } })
  await next(client, 'open')
  client.addEventListener('error', () => {})
  client.addEventListener('close', ({ willReconnect }) => { if (willReconnect) t.fail('closed') })
  t.match(await app.notifier.notify('123', 'x', { id: 'poison' }), { outcome: 'dead-lettered' })
  t.equal(tries, 2)
  t.match(await app.notifier.notify('123', 'x'), { outcome: 'acknowledged' })
})

test('fault 75: a handler of the client that never ends is told so in time, and the connection is not cut', async t => {
  const { app, notifications } = await startApp(t, { settle, maxDeliveries: 2, ackTimeout: 10_000 })
  const aborted: unknown[] = []
  const client = createClient(t, notifications('123'), {
    onNotification: ({ signal }) => new Promise(() => signal.addEventListener('abort', () => aborted.push(signal.reason)))
  })
  await next(client, 'open')
  client.addEventListener('error', () => {})
  client.addEventListener('close', ({ willReconnect }) => { if (willReconnect) t.fail('closed') })
  await t.rejects(app.notifier.notify('123', 'x'), { code: 'FST_NOTIFICATION_REJECTED' })
  t.match(aborted, [{ message: 'not handled within 8000 ms' }, { message: 'not handled within 8000 ms' }])
})
