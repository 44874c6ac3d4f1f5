import { Redis } from 'ioredis'
import { test, type Test } from 'tap'
import type { NotificationPluginOptions } from '../src/index.js'
import { startApp, type TestApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient, type TestClient } from './support/client.js'
import { connectAcking, contents, handAtOnce } from './support/cluster.js'
import { eventually } from './support/eventually.js'
import { connectTo, exchangeNews, numbers, startInstances } from './support/instances.js'
import { startProxy } from './support/proxy.js'
import { connectRich } from './support/rich-client.js'
import { usePrivateRedis } from './support/redis.js'

const oneAtATime = { settle: 'acknowledged', maxUnacked: 1 } as const

/** Two instances, each with a queue of its own. The first reaches Redis through a proxy. */
async function startPair (t: Test, options: NotificationPluginOptions = {}) {
  const redis = await usePrivateRedis(t)
  const proxy = await startProxy(t, redis.url)
  const { broker, queue: exchange, apps } = await startInstances(t, 1, { ...options, offline: 'hold', hold: { redis: redis.url } })
  const patient = new Redis(proxy.through(redis.url)) // the plugin's own client would give up after 2 s
  t.teardown(() => patient.disconnect())
  const queue = broker.queueName()
  let before = 0
  const one = await startApp(t, { amqpUrl: broker.url, queue, cluster: true, relay: { exchange: `${exchange}.relay` }, ...options, offline: 'hold', hold: { redis: patient } })
  return {
    one,
    two: apps[0]!,
    proxy,
    /** Publishes to the first one, which puts it into the hold: for as long as that takes, where a call would fail after 2 s. */
    async beginToHold (message: object): Promise<void> {
      before = one.app.notifier.stats().held
      await broker.publish(queue, message)
      await eventually(() => one.app.notifier.health().unsettled === 1, 'taken')
      t.equal(await one.app.notifier.isOnline('nobody'), false) // one round trip to the broker later
    },
    async isHeld (): Promise<void> {
      await eventually(() => one.app.notifier.health().unsettled === 0, 'settled')
      t.equal(one.app.notifier.stats().held, before + 1)
    }
  }
}

test('with a hold, everything arrives in the order of the instance that took it, whichever instance held it', async t => {
  const redis = await usePrivateRedis(t)
  const { broker, queue, apps } = await startInstances(t, 2, { offline: 'hold', settle: 'acknowledged', hold: { redis: redis.url } })
  const [one, two] = apps as [TestApp, TestApp]
  const held = () => apps.reduce((sum, { app }) => sum + app.notifier.stats().held, 0)
  const contents = numbers(100)
  for (const content of contents) {
    for (const [n, { app }] of apps.entries()) app.notifier.notify('123', content, { id: `${n}-${content}` }).catch(t.error)
  }
  await broker.publish(queue, { userId: '123', content: 'from the queue', id: 'q' })
  await eventually(() => held() === 201, 'all held')
  const client = await connectRich(t, two.notifications('123'))
  const frames = await client.framesReceived(100)
  client.ack(...frames.map(({ id }) => id!))
  frames.push(...(await client.framesReceived(200)).slice(100))
  client.ack(...frames.slice(100).map(({ id }) => id!))
  frames.push(...(await client.framesReceived(201)).slice(200))
  client.ack(frames.at(-1)!.id!)
  await eventually(() => two.app.notifier.stats().released === 201, 'released')
  for (const n of [0, 1]) t.same(frames.flatMap(({ id, content }) => id!.startsWith(`${n}-`) ? [content] : []), contents)
  t.ok(frames.some(({ id }) => id === 'q'))
  t.match(await one.app.notifier.notify('456', 'hi'), { outcome: 'held' })
})

test('a user who connects while messages come gets all of them, in order', async t => {
  const redis = await usePrivateRedis(t)
  const { apps: [one, two] } = await startInstances(t, 2, { offline: 'hold', hold: { redis: redis.url } })
  const contents = numbers(1_000)
  for (const userId of numbers(5)) {
    const pending: Array<Promise<unknown>> = []
    let connecting: Promise<TestClient> | undefined
    for (const content of contents) {
      pending.push(one!.app.notifier.notify(userId, content))
      if (pending.length === 200) connecting = connectClient(t, two!.notifications(userId))
      if (pending.length % 10 === 0) await new Promise(resolve => setImmediate(resolve))
      if (pending.length % 100 === 0) await pending.at(-100) // a call fails if Redis does not answer within 2 s
    }
    const client = await connecting!
    await Promise.all(pending)
    t.same(await client.received(1_000), contents)
  }
})

test('what comes into the hold when its user has connected to another instance already is delivered', async t => {
  const { two, proxy, beginToHold, isHeld } = await startPair(t)
  proxy.blackhole()
  await beginToHold({ userId: '123', content: 'hi' })
  const client = await connectTo(t, two, '123')
  proxy.forward()
  await isHeld()
  t.same(await client.received(1), ['hi'])
})

test('what comes into the hold while its user is handed newer notifications by another instance is delivered too', { timeout: 60_000 }, async t => {
  const { one, two, proxy, beginToHold, isHeld } = await startPair(t, oneAtATime)
  proxy.blackhole()
  await connectTo(t, two, 'there')
  await beginToHold({ userId: '123', content: 'oldest', id: '1' })
  for (const id of ['2', '3']) t.match(await two.app.notifier.notify('123', 'newer', { id }), { outcome: 'held' })
  const client = await connectRich(t, two.notifications('123'))
  t.match(await client.framesReceived(1), [{ id: '2' }]) // now the next one waits for room
  proxy.forward()
  await isHeld()
  t.match(await one.app.notifier.notify('there', 'behind the news of it'), { outcome: 'sent' })
  for (const [n, id] of ['2', '1', '3'].entries()) {
    t.match((await client.framesReceived(n + 1))[n], { id })
    client.ack(id)
  }
  await eventually(() => two.app.notifier.stats().released === 3, 'all have left the hold')
})

test('what is held as a connection of one instance is full goes to a connection that has begun at another one', { timeout: 60_000 }, async t => {
  const { one, two, proxy, beginToHold, isHeld } = await startPair(t, oneAtATime)
  const full = await connectRich(t, one.notifications('123'))
  const before = await handAtOnce(one, '123', full)
  const first = one.app.notifier.notify('123', 'first', { id: '1' })
  await full.framesReceived(before + 1)
  t.equal(await one.app.notifier.isOnline('nobody'), false) // by now the broker has confirmed that nobody else has the first
  proxy.blackhole()
  await beginToHold({ userId: '123', content: 'second', id: '2' })
  const client = await connectAcking(t, two.notifications('123'))
  // By then the hold of the one who has connected was looked into; so it is below.
  t.match(await two.app.notifier.notify('456', 'hi'), { outcome: 'held' })
  proxy.forward()
  await isHeld()
  await eventually(() => contents(client).includes('second'), 'it has arrived')
  t.equal(full.frames.length, before + 1, 'there was no room for it')
  full.ack('1')
  t.match(await first, { outcome: 'acknowledged' })
})

test('what an instance holds last, while it closes, reaches a user who has connected to another one meanwhile', { timeout: 60_000 }, async t => {
  const { one, two, proxy, beginToHold } = await startPair(t)
  proxy.blackhole()
  await beginToHold({ userId: '123', content: 'hi' })
  const client = await connectTo(t, two, '123')
  t.match(await two.app.notifier.notify('456', 'hi'), { outcome: 'held' }, 'by then the hold of 123 was looked into, too')
  const closed = one.app.close()
  await eventually(() => one.app.notifier.health().state === 'draining', 'it closes')
  proxy.forward()
  t.same(await client.received(1), ['hi'])
  await closed
})

test('what one instance holds and another one has handed out is delivered again where its client does not acknowledge it', { timeout: 240_000 }, async t => {
  const redis = await usePrivateRedis(t)
  const options = { offline: 'hold', settle: 'acknowledged', maxUnacked: 1, hold: { redis: redis.url } } as const
  const { broker, queue, apps: [three] } = await startInstances(t, 1, { ...options, ackTimeout: 600_000 })
  const proxy = await startProxy(t, broker.url)
  const one = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, cluster: true, ...options, relay: { receiptTimeout: 60_000 } })
  const two = await startApp(t, { amqpUrl: broker.url, queue, cluster: true, ...options, ackTimeout: 3_000 })
  const store = new Redis(redis.url)
  t.teardown(() => store.disconnect())
  const full = await connectRich(t, three!.notifications('123'))
  const before = await handAtOnce(three!, '123', full)
  const first = one.app.notifier.notify('123', 'first', { id: '1' })
  await full.framesReceived(before + 1)
  await exchangeNews(t, one, three!)
  const client = await connectRich(t, two.notifications('123'))
  const other = await connectTo(t, two, '789')
  t.match(await two.app.notifier.notify('456', 'hi'), { outcome: 'held' })
  proxy.mute('relay')
  const second = one.app.notifier.notify('123', 'second', { id: '2' })
  t.match(await client.framesReceived(1), [{ id: '2' }])
  await eventually(async () => await store.exists('notification:{:123}:data') === 1, 'held')
  await Promise.all([three!.app.notifier.notify('789', 'behind the news of it'), other.received(1)])
  t.match(await two.app.notifier.notify('456', 'hi'), { outcome: 'held' })
  proxy.forward()
  t.match(await second, { outcome: 'held' })
  t.equal((await client.closed).code, 4002, 'it still had to acknowledge')
  const again = await connectRich(t, two.notifications('123'))
  t.match(await again.framesReceived(1), [{ id: '2', redelivered: true }])
  again.ack('2')
  await eventually(() => two.app.notifier.stats().released === 1, 'it has left the hold')
  full.ack('1')
  t.match(await first, { outcome: 'acknowledged' })
})

test('what was held while an instance could not be reached is delivered when its users are bound again', async t => {
  const redis = await usePrivateRedis(t)
  const options = { offline: 'hold', hold: { redis: redis.url }, reconnect: { initialDelay: 10, maxDelay: 50 } } as const
  const { broker, queue, apps: [one] } = await startInstances(t, 1, options)
  const proxy = await startProxy(t, broker.url)
  const two = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, cluster: true, ...options })
  const client = await connectTo(t, two, '123')
  proxy.resetAfter(1)
  proxy.reset('relay')
  await two.log.line('broker relay connecting')
  t.match(await one!.app.notifier.notify('123', 'hi'), { outcome: 'held' })
  proxy.resetAfter(undefined)
  t.same(await client.received(1), ['hi'])
})

test('what nobody has while an instance closes is held, and settled at once', async t => {
  const redis = await usePrivateRedis(t)
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const proxy = await startProxy(t, broker.url)
  const { app } = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, cluster: true, offline: 'hold', hold: { redis: redis.url }, drainTimeout: 120_000 })
  t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
  proxy.blackhole('publisher')
  await broker.publish(queue, ...numbers(10).map(content => ({ userId: '123', content })))
  await eventually(() => app.notifier.health().unsettled === 10, 'taken')
  const began = Date.now()
  const closed = app.close()
  proxy.forward()
  await closed
  t.ok(Date.now() - began < 60_000, `took ${Date.now() - began} ms of 120 s`)
  t.equal(app.notifier.stats().held, 10)
  t.equal((await broker.channel.checkQueue(queue)).messageCount, 0)
})

test('what two instances put into the hold stays there, whoever was slower', async t => {
  const redis = await usePrivateRedis(t)
  const proxy = await startProxy(t, redis.url)
  const broker = await useBroker(t)
  const options = { amqpUrl: broker.url, queue: broker.queueName(), cluster: true, offline: 'hold', settle: 'acknowledged', maxUnacked: 1 } as const
  t.teardown(() => broker.channel.deleteExchange(`${options.queue}.relay`))
  const one = await startApp(t, { ...options, hold: { redis: redis.url } })
  const patient = new Redis(proxy.through(redis.url)) // the plugin's own client would give up after 2 s
  t.teardown(() => patient.disconnect())
  const two = await startApp(t, { ...options, hold: { redis: patient } })
  const clients = [await connectRich(t, one.notifications('123')), await connectRich(t, two.notifications('123'))]
  await connectTo(t, two, 'there')
  const first = one.app.notifier.notify('123', 'first', { id: '1' })
  for (const client of clients) await client.framesReceived(1) // neither has room for more
  proxy.blackhole()
  t.match(await one.app.notifier.notify('123', 'second', { id: '2' }), { outcome: 'held' })
  t.match(await one.app.notifier.notify('there', 'behind the news of the outcome'), { outcome: 'sent' })
  for (const { socket, closed } of clients) {
    socket.terminate()
    await closed
  }
  proxy.forward()
  t.match(await first, { outcome: 'held' })
  await eventually(() => two.app.notifier.notify('456', 'hi').then(() => true, () => false), 'Redis answers again') // after 2 s calls fail
  for (let n = 0; n < 3; n++) t.match(await two.app.notifier.notify('456', 'hi'), { outcome: 'held' })
  const back = await connectRich(t, one.notifications('123'))
  await back.framesReceived(1)
  back.ack('1')
  t.match(await back.framesReceived(2), [{ id: '1' }, { id: '2', content: 'second' }])
})

test('a notification that could not be held does not keep the next try from being held', async t => {
  const redis = await usePrivateRedis(t)
  const { apps: [one] } = await startInstances(t, 1, { offline: 'hold', hold: { redis: redis.url } })
  const { notifier } = one!.app
  await redis.kill()
  await t.rejects(notifier.notify('123', 'hi', { id: 'x' }), { code: 'FST_NOTIFICATION_HOLD_FAILED' })
  await redis.start()
  await eventually(() => notifier.health().state === 'consuming', 'it works again')
  t.match(await notifier.notify('123', 'hi', { id: 'x' }), { outcome: 'held' })
})
