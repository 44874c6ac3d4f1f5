import { once } from 'node:events'
import { test } from 'tap'
import notificationPlugin from '../src/index.js'
import { createApp, startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { startProgram } from './support/process.js'

test('close() takes no more messages, settles what is in flight and closes every socket with 1001', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue })
  const clients = await Promise.all([1, 2, 3].map(() => connectClient(t, notifications('123'))))
  await broker.publish(queue, { userId: '123', content: 'delivered' })
  await Promise.all(clients.map(client => client.received(1)))

  await app.close()
  for (const { closed } of clients) t.same(await closed, { code: 1001, reason: 'server shutting down' })
  t.match(app.notifier.health(), { state: 'stopped', ready: false, unsettled: 0 })
  t.same(await broker.channel.checkQueue(queue), { queue, messageCount: 0, consumerCount: 0 }, 'what was delivered was acked')

  await broker.publish(queue, { userId: '123', content: 'for the next one' })
  t.equal((await broker.channel.checkQueue(queue)).messageCount, 1, 'what comes after it stays in the queue')
})

test('close() in mid-stream: each message is delivered or still in the queue, none both, none lost', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, prefetch: 10 })
  const client = await connectClient(t, notifications('123'))
  const count = 1_000
  const published = broker.publish(queue, ...Array.from({ length: count }, (_, n) => ({ userId: '123', content: n })))
  await client.received(100)

  await Promise.all([app.close(), published])
  await client.closed
  const left = (await broker.takeAll(queue, count - client.messages.length)).map(({ content }) => JSON.parse(content.toString()).content)
  t.same([...client.messages.map(Number), ...left].sort((a, b) => a - b), Array.from({ length: count }, (_, n) => n))
  t.ok(left.length > 0, 'it was in mid-stream')
})

test('many sockets are closed in batches, not in one instant', async t => {
  const { app, notifications } = await startApp(t, {})
  const clients = await Promise.all(Array.from({ length: 250 }, (_, n) => connectClient(t, notifications(String(n)))))
  // Between two batches of a hundred there are turns of the event loop, however busy the machine.
  const sizes = new Set<number>()
  function look (): void {
    sizes.add(app.notifier.size)
    if (app.notifier.size > 0) setImmediate(look)
  }
  look()
  const closed = app.close()
  for (const client of clients) t.equal((await client.closed).code, 1001)
  await closed
  t.same([...sizes], [250, 150, 50, 0])
})

test('a client that does not answer does not hold up close()', async t => {
  const { app, notifications } = await startApp(t, { drainTimeout: 200 })
  const silent = await connectClient(t, notifications('123'))
  silent.socket.pause()
  await app.close()
  t.equal(app.notifier.size, 0)
})

test('the process ends by itself after close()', async t => {
  const broker = await useBroker(t)
  const child = startProgram(t, 'test/support/one-shot.ts', [broker.url, broker.queueName()])
  const [code, signal] = await once(child, 'exit')
  t.same({ code, signal }, { code: 0, signal: null })
})

test('an application that never listened can be closed, and twice', async t => {
  const broker = await useBroker(t)
  const { app } = createApp(t)
  await app.register(notificationPlugin, { amqpUrl: broker.url, queue: broker.queueName() })
  await app.ready()
  await Promise.all([app.close(), app.close()])
  t.equal(app.notifier.health().state, 'stopped')
})
