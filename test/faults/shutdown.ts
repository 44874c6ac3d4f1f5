import { Redis } from 'ioredis'
import { test, type Test } from 'tap'
import notificationPlugin from '../../src/index.js'
import { createApp, listen, startApp } from '../support/app.js'
import { connectTo, useBroker, type TestBroker } from '../support/broker.js'
import { connectClient } from '../support/client.js'
import { eventually } from '../support/eventually.js'
import { startBroker } from '../support/private-broker.js'
import { startProxy } from '../support/proxy.js'
import { usePrivateRedis } from '../support/redis.js'
import { connectRich } from '../support/rich-client.js'

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

/** How a method about a queue begins (AMQP 0-9-1 §1.7.2.1 and §1.8.3.3: class, method, a reserved short, the queue's name). */
const methodOf = (classId: number, methodId: number, queue: string) => Buffer.from([0, classId, 0, methodId, 0, 0, queue.length, ...Buffer.from(queue)])
const declareOf = (queue: string) => methodOf(50, 10, queue)
const consumeOf = (queue: string) => methodOf(60, 20, queue)

/**
 * An application that begins to close before the broker has answered a method of the set-up of one of its consumers.
 * @returns when it closes, which goes on until `finish()` is called; `answer()` lets the broker answer
 */
async function closeDuringSetUp (t: Test, broker: TestBroker, queue: string, method: Buffer): Promise<{ answer (): Promise<void>, finish (): Promise<void> }> {
  const busy = broker.queueName()
  await broker.channel.assertQueue(busy, { arguments: { 'x-queue-type': 'classic' } }) // a quorum queue counts a cancelled consumer until all is acked
  const proxy = await startProxy(t, broker.url)
  proxy.muteAt(method)
  const { app, log, notifications } = await startApp(t, {
    amqpUrl: `${proxy.through(broker.url)}?heartbeat=60`,
    queue: [queue, busy],
    startup: 'background',
    settle: 'acknowledged',
    reconnect,
    connectTimeout: 60_000, // else what is held is set up once more
    drainTimeout: 120_000
  })
  const opened = () => log.lines.filter(({ msg }) => msg === 'broker consumer open').length
  await eventually(() => opened() === 1 && proxy.muted > 0, 'one consumer consumes, of the other the answer is held')
  const client = await connectRich(t, notifications('busy'))
  await broker.publish(busy, { userId: 'busy', content: 'hi', id: 'x' })
  await client.framesReceived(1)
  const closed = app.close() // waits for the acknowledgement
  await eventually(async () => (await broker.channel.checkQueue(busy)).consumerCount === 0, 'the one that consumed has been cancelled')
  return {
    async answer () {
      proxy.forward()
      await eventually(() => opened() === 2, 'the other one is set up')
    },
    async finish () {
      client.ack('x')
      await closed
    }
  }
}

for (const [name, isConsuming, methodFor] of [['its declaration of the queue', false, declareOf], ['its consume', true, consumeOf]] as const) {
  test(`an instance that closes before the broker has answered ${name} takes nothing out of the queue when the answer comes`, async t => {
    const broker = await useBroker(t)
    const queue = broker.queueName()
    await broker.channel.assertQueue(queue, { arguments: { 'x-queue-type': 'quorum' } })
    const publishAll = async () => await broker.publish(queue, ...Array.from({ length: 10 }, (_, n) => ({ userId: '123', content: n })))
    const { answer, finish } = await closeDuringSetUp(t, broker, queue, methodFor(queue))
    if (!isConsuming) await publishAll()
    await answer()
    await eventually(async () => (await broker.channel.checkQueue(queue)).consumerCount === 0, 'it does not consume', 20_000)
    if (isConsuming) await publishAll()
    t.same(await broker.channel.checkQueue(queue), { queue, messageCount: 10, consumerCount: 0 })
    await finish()
    const messages = await broker.takeAll(queue, 10)
    t.same(messages.map(({ fields: { redelivered } }) => redelivered), Array(10).fill(false), 'nobody is told that a client may have had them')
  })
}

test('fault 60: what an instance that closes is delivered, and the broker would drop when it is returned, is in the dead-letter queue', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue, { arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 1 } })
  await broker.publish(queue, { userId: '123', content: 'returned once' })
  const other = await connectTo(t, broker.url)
  t.ok(await other.channel.get(queue))
  await other.channel.close()
  const count = async () => (await broker.channel.checkQueue(queue)).messageCount
  await eventually(async () => await count() === 1, 'returned')
  const { answer, finish } = await closeDuringSetUp(t, broker, queue, consumeOf(queue))
  await eventually(async () => await count() === 0, 'delivered')
  await answer()
  await eventually(async () => (await broker.channel.checkQueue(`${queue}.dead`)).messageCount === 1, 'moved', 20_000)
  await finish()
  t.match(await broker.takeAll(`${queue}.dead`), [{ properties: { headers: { 'x-notification-reason': 'delivery-limit' } } }])
  t.equal((await broker.takeAll(queue)).length, 0)
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
  const { app, log, notifications } = await startApp(t, { amqpUrl: node.url, queue: 'hello', drainTimeout: 10_000 })
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

test('fault 10: close() during a memory alarm does not wait for a broker that reads nothing from the connection', { timeout: 400_000 }, async t => {
  const node = await startBroker(t)
  const { app, log } = await startApp(t, { amqpUrl: node.url, queue: 'hello', drainTimeout: 600_000 })
  await node.ctl('set_vm_memory_high_watermark', '0.00001')
  await log.line('broker publisher blocked')
  await app.close()
  for (const purpose of ['consumer', 'publisher']) await log.line(`broker ${purpose} closed`)
})

test('fault 80: an error in the middle of the shutdown keeps no other step from being tried, and close() throws the first', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const options = { amqpUrl: broker.url, queue, offline: 'hold' } as const
  const { app, log } = createApp(t)
  await app.register(notificationPlugin, options)
  app.get('/own', { websocket: true }, socket => {
    app.notifier.register('own', socket)
    socket.close = () => { throw new Error(`broken ${app.notifier.connections('own')}`) }
  })
  const { at, notifications } = await listen(app)
  const broken = [await connectClient(t, at('/own')), await connectClient(t, at('/own'))]
  await eventually(() => app.notifier.connections('own') === 2, 'both are registered')
  const client = await connectClient(t, notifications('123'))
  await broker.publish(queue, { userId: 'offline', content: 'held' })
  await eventually(() => app.notifier.stats().held === 1, 'held')

  await t.rejects(app.close(), { message: 'broken 1' }, 'the connection leaves before its socket is closed')
  t.match(await log.line('another step of the shutdown failed'), { level: 50, err: { message: 'broken 0' } })
  t.equal((await client.closed).code, 1001)
  for (const { closed } of broken) t.equal((await closed).code, 1006, 'ended, as it could not be closed')
  t.match(await log.line('hold published back to the queue'), { count: 1 })
  t.same(await broker.channel.checkQueue(queue), { queue, messageCount: 1, consumerCount: 0 })
  for (const purpose of ['consumer', 'publisher']) await log.line(`broker ${purpose} closed`)
  t.equal(app.notifier.health().state, 'stopped')
})

test('fault 80: a registry that lets go of no metric is an error of close(), and the others are removed', async t => {
  const removed: string[] = []
  const registry = {
    registerMetric () {},
    getSingleMetric () {},
    removeSingleMetric (name: string) {
      removed.push(name)
      if (removed.length === 1) throw new Error('broken')
    }
  }
  const { app } = await startApp(t, { metrics: registry })
  await t.rejects(app.close(), { message: 'broken' })
  t.ok(removed.length > 1, `${removed.length} were tried`)
})

test('fault 80: where the registration fails half-way, close() lets go of what was opened', async t => {
  const redis = await usePrivateRedis(t)
  const { app } = createApp(t)
  app.get('/notification', async () => 'taken')
  await t.rejects(async () => { await app.register(notificationPlugin, { offline: 'hold', hold: { redis: redis.url } }) }, { code: 'FST_ERR_DUPLICATED_ROUTE' })
  const observer = new Redis(redis.url)
  t.teardown(() => observer.quit())
  const isConnected = async () => String(await observer.client('LIST')).includes('fastify-notification-hold')
  t.ok(await isConnected())
  await app.close()
  await eventually(async () => !await isConnected(), 'the hold has let go of Redis')
})
