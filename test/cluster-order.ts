import { setTimeout as delay } from 'node:timers/promises'
import { test, type Test } from 'tap'
import type { NotificationPluginOptions } from '../src/index.js'
import { startApp, type TestApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { eventually } from './support/eventually.js'
import { connectTo, exchangeNews, startInstances } from './support/instances.js'
import { startProxy, type Proxy } from './support/proxy.js'
import { usePrivateRedis } from './support/redis.js'
import { connectRich } from './support/rich-client.js'

/** A pair of instances, of which the first hears late what became of what it has published. */
async function startPair (t: Test, options: NotificationPluginOptions): Promise<{ one: TestApp, two: TestApp, proxy: Proxy }> {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
  const proxy = await startProxy(t, broker.url)
  const all: NotificationPluginOptions = { amqpUrl: broker.url, queue, cluster: true, relay: { receiptTimeout: 60_000 }, ...options }
  const pair = { one: await startApp(t, { ...all, amqpUrl: proxy.through(broker.url) }), two: await startApp(t, all), proxy }
  await Promise.all([pair.one, pair.two].map(({ app }) => app.notifier.isOnline('nobody'))) // answered when they have found each other
  return pair
}

test('what is published behind something that comes back does not overtake it', { timeout: 120_000 }, async t => {
  const redis = await usePrivateRedis(t)
  const { one, two, proxy } = await startPair(t, { offline: 'hold', hold: { redis: redis.url } })
  proxy.mute('publisher')
  const first = one.app.notifier.notify('123', 'first')
  await eventually(() => proxy.muted > 0, 'nobody was there for it')
  const second = one.app.notifier.notify('123', 'second')
  const client = await connectTo(t, two, '123')
  proxy.forward()
  t.match(await first, { outcome: 'held' })
  t.match(await second, { outcome: /^(held|sent)$/ }, 'the user may be known by then')
  t.same(await client.received(2), ['first', 'second'])
})

test('what a connection here had that ends before the others have been asked is not waited for', { timeout: 120_000 }, async t => {
  const { one, proxy } = await startPair(t, { settle: 'acknowledged' })
  const client = await connectRich(t, one.notifications('123'))
  proxy.mute('publisher')
  const pending = one.app.notifier.notify('123', 'hi')
  await client.framesReceived(1)
  await eventually(() => proxy.muted > 0, 'the broker has it')
  client.socket.terminate()
  await eventually(() => one.app.notifier.connections('123') === 0, 'gone')
  proxy.forward()
  t.match(await pending, { outcome: 'offline' })
})

test('what was delivered, of which the news was lost, is not delivered again', async t => {
  // An instance remembers what it has delivered for three to six times as long: longer than its connection is away here.
  const options = { relay: { receiptTimeout: 3_000 } }
  const { broker, queue, apps: [one] } = await startInstances(t, 1, options)
  const proxy = await startProxy(t, broker.url)
  const two = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, cluster: true, ...options, reconnect: { initialDelay: 10, maxDelay: 50 } })
  const client = await connectTo(t, two, '123')
  proxy.blackhole('publisher')
  const pending = one!.app.notifier.notify('123', 'hi')
  await client.received(1)
  proxy.reset('publisher')
  t.match(await pending, { outcome: 'sent', connections: 1 })
  t.match(await one!.app.notifier.notify('123', 'hi again'), { outcome: 'sent' })
  t.same(await client.received(2), ['hi', 'hi again'])
})

test('a connection gets each once, and is counted once, however often its instance is asked', async t => {
  const { apps: [one, two] } = await startInstances(t, 2, { settle: 'acknowledged', maxUnacked: 1, relay: { receiptTimeout: 800 } })
  const client = await connectRich(t, two!.notifications('123'))
  const pending = ['x', 'y', 'z'].map(id => one!.app.notifier.notify('123', id, { id }))
  await delay(2_500) // for which there is no event: it is asked again twice, at least
  for (const [n, id] of ['x', 'y', 'z'].entries()) {
    t.same((await client.framesReceived(n + 1)).at(-1)!.id, id)
    client.ack(id)
    t.match(await pending[n], { outcome: 'acknowledged', connections: 1 })
  }
})

test('what is asked again, as no answer has come, is marked as redelivered: a client may have seen it', { timeout: 60_000 }, async t => {
  const options = { settle: 'acknowledged', relay: { receiptTimeout: 100 } } as const
  const { broker, queue, apps: [one, three] } = await startInstances(t, 2, options)
  const proxy = await startProxy(t, broker.url)
  const two = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, cluster: true, ...options })
  const first = await connectRich(t, two.notifications('123'))
  proxy.blackhole('publisher')
  const pending = one!.app.notifier.notify('123', 'hi', { id: 'x' })
  t.match(await first.framesReceived(1), [{ id: 'x', redelivered: undefined }])
  const second = await connectRich(t, three!.notifications('123'))
  t.match(await second.framesReceived(1), [{ id: 'x', redelivered: true }])
  second.ack('x')
  t.match(await pending, { outcome: 'acknowledged' })
  proxy.forward()
})

test('what a client had of an instance whose first answer was lost is marked as redelivered at the next one', { timeout: 60_000 }, async t => {
  const options = { settle: 'acknowledged', relay: { receiptTimeout: 60_000 } } as const
  const { broker, queue, apps: [one, three] } = await startInstances(t, 2, options)
  const proxy = await startProxy(t, broker.url)
  const two = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, cluster: true, ...options, reconnect: { initialDelay: 10, maxDelay: 50 } })
  const first = await connectRich(t, two.notifications('123'))
  proxy.blackhole('publisher')
  const pending = one!.app.notifier.notify('123', 'hi', { id: 'x' })
  await first.framesReceived(1)
  proxy.reset('publisher')
  const second = await connectRich(t, three!.notifications('123'))
  await eventually(() => two.log.lines.filter(({ msg }) => msg === 'broker publisher open').length === 2, 'it can answer again')
  first.socket.terminate()
  t.match(await second.framesReceived(1), [{ id: 'x', redelivered: true }])
  second.ack('x')
  t.match(await pending, { outcome: 'acknowledged' })
})

test('what waits at one instance while another one may have had it is marked as redelivered', { timeout: 60_000 }, async t => {
  const options = { settle: 'acknowledged', maxUnacked: 1, relay: { receiptTimeout: 100 } } as const
  const { broker, queue, apps: [one, three] } = await startInstances(t, 2, options)
  const proxy = await startProxy(t, broker.url)
  const two = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, cluster: true, ...options })
  const first = await connectRich(t, two.notifications('123'))
  const other = await connectTo(t, two, '456')
  proxy.blackhole('publisher')
  const pending = ['a', 'b'].map(id => one!.app.notifier.notify('123', id, { id }))
  t.match(await first.framesReceived(1), [{ id: 'a', redelivered: undefined }])
  const second = await connectRich(t, three!.notifications('123'))
  t.match(await second.framesReceived(1), [{ id: 'a', redelivered: true }])
  const behind = one!.app.notifier.notify('456', 'behind it')
  await other.received(1)
  first.ack('a')
  t.match((await first.framesReceived(2))[1], { id: 'b' })
  first.ack('b')
  second.ack('a')
  t.match((await second.framesReceived(2))[1], { id: 'b', redelivered: true })
  second.ack('b')
  for (const result of await Promise.all(pending)) t.match(result, { outcome: 'acknowledged' })
  proxy.forward()
  t.match(await behind, { outcome: 'sent' })
})

test('what waits at an instance is marked as redelivered when another one takes it from the queue as redelivered', { timeout: 60_000 }, async t => {
  const broker = await useBroker(t)
  const [queue, other] = [broker.queueName(), broker.queueName()]
  const options = { amqpUrl: broker.url, cluster: true, settle: 'acknowledged', maxUnacked: 1, relay: { exchange: `${queue}.relay` } } as const
  t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
  const two = await startApp(t, { ...options, queue: other })
  const client = await connectRich(t, two.notifications('123'))
  const message = { userId: '123', content: 'b', id: 'b' }
  await broker.publish(other, { userId: '123', content: 'a', id: 'a' }, message)
  await eventually(() => two.app.notifier.health().unsettled === 2, 'b waits')
  await broker.channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  await broker.publish(queue, message)
  await eventually(async () => {
    const got = await broker.channel.get(queue)
    if (got !== false) broker.channel.nack(got)
    return got !== false
  }, 'it has been delivered once')
  const one = await startApp(t, { ...options, queue })
  const neighbour = await connectTo(t, two, '456')
  await eventually(() => one.app.notifier.health().unsettled === 1, 'taken')
  await Promise.all([one.app.notifier.notify('456', 'behind it'), neighbour.received(1)])
  client.ack('a')
  t.match((await client.framesReceived(2))[1], { id: 'b', redelivered: true })
  client.ack('b')
  for (const { app } of [one, two]) await eventually(() => app.notifier.health().unsettled === 0, 'settled')
})

test('what an instance has in hand, and another one takes from the queue again, is not stuck between them', async t => {
  const broker = await useBroker(t)
  const proxy = await startProxy(t, broker.url)
  const options = { queue: broker.queueName(), cluster: true, settle: 'acknowledged', relay: { receiptTimeout: 300 } } as const
  t.teardown(() => broker.channel.deleteExchange(`${options.queue}.relay`))
  const two = await startApp(t, { ...options, amqpUrl: proxy.through(broker.url), reconnect: { initialDelay: 1_000, maxDelay: 1_000 } })
  const client = await connectRich(t, two.notifications('123'))
  await broker.publish(options.queue, { userId: '123', content: 'hi', id: 'x' })
  await client.framesReceived(1)
  const one = await startApp(t, { ...options, amqpUrl: broker.url })
  await connectTo(t, two, 'there')
  proxy.reset('consumer')
  await eventually(() => one.app.notifier.health().unsettled === 1, 'taken again')
  t.match(await one.app.notifier.notify('there', 'behind what was asked'), { outcome: 'sent' })
  client.socket.terminate()
  await eventually(() => one.app.notifier.health().unsettled === 0, 'settled')
  t.match(one.app.notifier.stats(), { offline: 1 })
})

test('what another instance was asked to take comes before anything newer, where its user connects here', async t => {
  const broker = await useBroker(t)
  const proxy = await startProxy(t, broker.url)
  const options = { queue: broker.queueName(), cluster: true, drainTimeout: 500 }
  t.teardown(() => broker.channel.deleteExchange(`${options.queue}.relay`))
  const two = await startApp(t, { ...options, amqpUrl: proxy.through(broker.url) })
  const one = await startApp(t, { ...options, amqpUrl: broker.url })
  const first = await connectTo(t, two, '123')
  proxy.blackhole('relay')
  await first.close()
  const pending = ['1', '2'].map(content => one.app.notifier.notify('123', content))
  const second = await connectTo(t, one, '123')
  pending.push(one.app.notifier.notify('123', '3'))
  t.same(await second.received(3), ['1', '2', '3'])
  for (const result of await Promise.all(pending)) t.match(result, { outcome: 'sent' })
  proxy.forward()
})

test('what comes from the queue while it is handed out for another instance is not lost with that one', async t => {
  const broker = await useBroker(t)
  const [queue, other] = [broker.queueName(), broker.queueName()]
  const options = { amqpUrl: broker.url, cluster: true, settle: 'acknowledged', offline: 'dead-letter', relay: { exchange: `${queue}.relay` } } as const
  t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
  const one = await startApp(t, { ...options, queue })
  const two = await startApp(t, { ...options, queue: other })
  const client = await connectRich(t, two.notifications('123'))
  const message = { userId: '123', content: 'hi', id: 'x' }
  await broker.publish(queue, message)
  await client.framesReceived(1)
  await broker.publish(other, message) // as if the first had gone, and the broker delivered it again
  await eventually(() => two.app.notifier.health().unsettled === 1, 'taken')
  t.equal(client.frames.length, 1, 'it is under way')
  client.socket.terminate()
  for (const { app } of [one, two]) await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  for (const name of [queue, other]) {
    t.same((await broker.takeAll(`${name}.dead`)).map(({ content }) => JSON.parse(content.toString())), [message])
  }

  const back = await connectRich(t, two.notifications('123'))
  for (const name of [queue, other]) await broker.publish(name, { ...message, id: 'y' })
  await back.framesReceived(1)
  await eventually(() => [one, two].every(({ app }) => app.notifier.health().unsettled === 1), 'taken')
  await exchangeNews(t, one, two)
  back.ack('y')
  for (const { app } of [one, two]) {
    await eventually(() => app.notifier.health().unsettled === 0, 'settled')
    t.equal(app.notifier.stats().acknowledged, 1)
  }
  t.equal(back.frames.length, 1)
})
