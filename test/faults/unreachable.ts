import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import { freePorts } from '../../support/network.mjs'
import { startApp, type TestApp } from '../support/app.js'
import { connectTo, useBroker } from '../support/broker.js'
import { connectClient } from '../support/client.js'
import { eventually } from '../support/eventually.js'
import { checkLoad, runLoad } from '../support/load.js'
import { startBroker } from '../support/private-broker.js'
import { startProxy } from '../support/proxy.js'

const reconnect = { initialDelay: 20, maxDelay: 200 }

/** A dead peer is seen after two to three of these (seconds). */
const HEARTBEAT = 1

async function noticed (t: Test, { app }: TestApp, what: string): Promise<void> {
  const struck = Date.now()
  await eventually(() => !app.notifier.health().ready, `not ready: ${what}`)
  const took = Date.now() - struck
  t.ok(took <= 3 * HEARTBEAT * 1_000 + 20_000, `found after ${took} ms, within three heartbeats and what a busy machine adds`)
  t.match(app.notifier.health(), { state: 'connecting', lastError: { message: 'Heartbeat timeout' } })
}

test('fault 3: no broker at start, in the background: the application starts, and consumes once there is one', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { port, hostname } = new URL(broker.url)
  // A port where nobody listens yet: what comes up there later is the broker, through a proxy.
  const later = (await freePorts(1))[0]!

  const { app, log, notifications } = await startApp(t, { amqpUrl: `amqp://guest:guest@127.0.0.1:${later}`, queue, startup: 'background', reconnect })
  const client = await connectClient(t, notifications('123'))
  t.match(app.notifier.health(), { state: 'connecting', ready: false })
  t.match(await log.line('broker consumer cannot connect'), { level: 40, err: { code: 'ECONNREFUSED' } })
  await app.notifier.notify('123', 'without a broker')
  t.same(await client.received(1), ['without a broker'])

  const proxy = await startProxy(t, `amqp://${hostname}:${port}`, later)
  t.equal(proxy.port, later)
  await log.line('broker consumer open')
  await broker.publish(queue, { userId: '123', content: 'from the queue' })
  t.same(await client.received(2), ['without a broker', 'from the queue'])
  t.equal(log.lines.filter(({ msg }) => msg === 'broker consumer cannot connect').length, 1, 'a line for the reason, not for each try')
  t.ok(app.notifier.health().ready)
})

test('fault 3: an application that still tries to connect can be closed at once', async t => {
  const server = createServer(socket => socket.on('error', () => {})).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const sockets = new Set<{ destroy (): void }>()
  server.on('connection', socket => sockets.add(socket))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const { app } = await startApp(t, { amqpUrl: `amqp://127.0.0.1:${port}`, queue: 'hello', startup: 'background', drainTimeout: 50 })
  await eventually(() => sockets.size > 0, 'it connects')
  await app.close()
  t.match(app.notifier.health(), { state: 'stopped', ready: false })
})

test('fault 11: the broker freezes, and goes on', { timeout: 400_000 }, async t => {
  const node = await startBroker(t)
  const broker = await connectTo(t, node.url)
  await broker.channel.assertQueue('hello', { durable: true })
  const testApp = await startApp(t, { amqpUrl: `${node.url}?heartbeat=${HEARTBEAT}`, queue: 'hello', reconnect, connectTimeout: 3_000, prefetch: 100 })
  const result = await runLoad(t, {
    url: node.url,
    queue: 'hello',
    notifications: testApp.notifications,
    users: 10,
    count: 3_000,
    faults: [async () => {
      await node.freeze()
      await noticed(t, testApp, 'frozen')
      await node.resume()
      await eventually(() => testApp.app.notifier.health().ready, 'ready again')
    }]
  })
  checkLoad(t, result, 100)
})

test('fault 11: an application can be closed while the broker is frozen', async t => {
  const node = await startBroker(t)
  const { app } = await startApp(t, { amqpUrl: node.url, queue: 'hello', drainTimeout: 200 })
  await node.freeze()
  await app.close()
  t.equal(app.notifier.health().state, 'stopped')
  await node.resume()
})

test('fault 12: the network swallows everything, and comes back', { timeout: 400_000 }, async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue, { durable: true })
  const proxy = await startProxy(t, broker.url)
  const testApp = await startApp(t, { amqpUrl: `${proxy.through(broker.url)}?heartbeat=${HEARTBEAT}`, queue, reconnect, connectTimeout: 3_000, prefetch: 100 })
  const result = await runLoad(t, {
    url: broker.url,
    queue,
    notifications: testApp.notifications,
    users: 10,
    count: 3_000,
    faults: [async () => {
      proxy.blackhole()
      await noticed(t, testApp, 'blackhole')
      proxy.forward()
      await eventually(() => testApp.app.notifier.health().ready, 'ready again')
    }, () => proxy.reset(), () => proxy.end()]
  })
  checkLoad(t, result, 300)
})

test('fault 10: under a memory alarm consuming goes on; what has to be published waits, and nothing is lost', { timeout: 400_000 }, async t => {
  const node = await startBroker(t)
  const broker = await connectTo(t, node.url)
  const proxy = await startProxy(t, node.url)
  const { app, log, notifications } = await startApp(t, {
    amqpUrl: proxy.through(node.url), queue: 'hello', reconnect, publishTimeout: 300, offline: 'dead-letter'
  })
  const client = await connectClient(t, notifications('123'))
  const contents = Array.from({ length: 500 }, (_, n) => n)

  // Published before the alarm, which blocks the test's own publisher too, and consumed after it.
  proxy.blackhole('consumer')
  await broker.publish('hello', 'nonsense', ...contents.map(content => ({ userId: '123', content })), { userId: 'nobody', content: 'x' })
  await node.ctl('set_vm_memory_high_watermark', '0.00001')
  proxy.forward()

  t.same((await client.received(500)).map(Number), contents)
  t.match(await log.line('dead letters cannot be published'), { err: { code: 'FST_NOTIFICATION_PUBLISH_TIMEOUT' } })
  await eventually(() => app.notifier.health().state === 'blocked', 'blocked')
  t.match(app.notifier.health(), { ready: true, unsettled: 2 })
  await Promise.all(Array.from({ length: 20 }, async () => {
    await t.rejects(app.notifier.notify('nobody', 'x'), { code: 'FST_NOTIFICATION_PUBLISH_TIMEOUT', statusCode: 503 })
  }))

  await node.ctl('set_vm_memory_high_watermark', '0.4')
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  t.match(app.notifier.health(), { state: 'consuming', ready: true })
  await app.close()
  t.equal((await broker.channel.checkQueue('hello')).messageCount, 0)
  const reasons = (await broker.takeAll('hello.dead')).map(({ properties }) => properties.headers!['x-notification-reason'])
  t.ok(reasons.includes('invalid-json') && reasons.includes('offline'), 'both are in the dead-letter queue')
  t.ok(reasons.length < 20, `${reasons.length} dead letters: what was given up does not go out after all`)
})
