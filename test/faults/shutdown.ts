import { test } from 'tap'
import { startApp } from '../support/app.js'
import { connectTo, useBroker } from '../support/broker.js'
import { connectClient } from '../support/client.js'
import { eventually } from '../support/eventually.js'
import { startBroker } from '../support/private-broker.js'
import { startProxy } from '../support/proxy.js'

const reconnect = { initialDelay: 10, maxDelay: 100 }

test('close() while reconnecting takes nothing out of the queue', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const proxy = await startProxy(t, broker.url)
  const { app, notifications } = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, reconnect })
  const slow = await connectClient(t, notifications('123'))
  slow.socket.pause() // so that close() takes its time
  proxy.blackhole()
  proxy.reset()
  await eventually(() => !app.notifier.health().ready, 'reconnecting')
  await broker.publish(queue, ...Array.from({ length: 100 }, (_, n) => ({ userId: '123', content: n })))

  const closed = app.close()
  proxy.forward()
  await closed
  t.match(app.notifier.health(), { state: 'stopped', ready: false })
  t.match(app.notifier.stats(), { offline: 0, sent: 0 })
  await eventually(async () => (await broker.channel.checkQueue(queue)).messageCount === 100, 'all are still there')
})

for (const [name, fault] of [['resets', 'reset'], ['ends', 'end'], ['swallows', 'blackhole']] as const) {
  test(`close() during the handshake with a broker whose network ${name} it`, async t => {
    const broker = await useBroker(t)
    for (let bytes = 1; bytes < 900; bytes += 150) {
      const proxy = await startProxy(t, broker.url)
      proxy.holdAfter(bytes)
      const { app } = await startApp(t, {
        amqpUrl: proxy.through(broker.url), queue: broker.queueName(), startup: 'background', reconnect, connectTimeout: 300, drainTimeout: 200
      })
      await eventually(() => proxy.holding >= 1 || app.notifier.health().ready, 'in the middle of it')
      const closed = app.close()
      await new Promise(resolve => setImmediate(resolve))
      proxy[fault]()
      await closed
      t.match(app.notifier.health(), { state: 'stopped', ready: false }, `at byte ${bytes}`)
    }
  })
}

test('close() during the handshake, which then comes to its end, and the connection with it', async t => {
  const broker = await useBroker(t)
  // What the broker says up to the open connection has some 500 bytes; then it answers our close.
  for (let bytes = 440; bytes < 640; bytes += 10) {
    const proxy = await startProxy(t, broker.url)
    proxy.holdAfter(1)
    const { app } = await startApp(t, {
      amqpUrl: proxy.through(broker.url), queue: broker.queueName(), startup: 'background', reconnect, drainTimeout: 200
    })
    await eventually(() => proxy.holding === 2, 'in the middle of it')
    const closed = app.close()
    proxy.resetAfter(bytes)
    proxy.forward()
    await closed
    await eventually(() => proxy.connections === 0, 'all connections have ended')
  }
  t.pass('no error was left without a listener')
})

test('close() takes no longer than drainTimeout where the broker is silent', async t => {
  const broker = await useBroker(t)
  const proxy = await startProxy(t, broker.url)
  const { app } = await startApp(t, { amqpUrl: proxy.through(broker.url), queue: broker.queueName(), drainTimeout: 500 })
  proxy.blackhole()
  const began = Date.now()
  await app.close()
  t.ok(Date.now() - began < 40_000, `took ${Date.now() - began} ms`)
})

test('clients are told to come back in their own time, though a dead letter cannot be settled', async t => {
  const node = await startBroker(t)
  const broker = await connectTo(t, node.url)
  await broker.channel.assertQueue('hello.dead', { maxLength: 0, overflow: 'reject-publish' })
  const { app, log, notifications } = await startApp(t, { amqpUrl: node.url, queue: 'hello', drainTimeout: 1_000 })
  const clients = await Promise.all(Array.from({ length: 10 }, () => connectClient(t, notifications('123'))))
  await broker.publish('hello', 'nonsense', { userId: '123', content: 'settled behind it' })
  await log.line('dead letters cannot be published')
  await Promise.all(clients.map(client => client.received(1)))

  await app.close()
  for (const { closed } of clients) t.equal((await closed).code, 1001)
  const ends = log.lines.filter(({ msg }) => msg === 'client disconnected')
  t.same(ends.map(({ code }) => code), Array(10).fill(1001), 'each was given the time to answer')
  await eventually(async () => (await broker.channel.checkQueue('hello')).messageCount === 1, 'the one without an outcome is back, the other is not')
})
