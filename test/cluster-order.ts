import { test, type Test } from 'tap'
import type { NotificationPluginOptions } from '../src/index.js'
import { startApp, type TestApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { eventually } from './support/eventually.js'
import { connectTo } from './support/instances.js'
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
  return { one: await startApp(t, { ...all, amqpUrl: proxy.through(broker.url) }), two: await startApp(t, all), proxy }
}

test('what is published behind something that comes back does not overtake it', { timeout: 30_000 }, async t => {
  const redis = await usePrivateRedis(t)
  const { one, two, proxy } = await startPair(t, { offline: 'hold', hold: { redis: redis.url } })
  proxy.mute('publisher')
  const first = one.app.notifier.notify('123', 'first')
  await eventually(() => proxy.muted > 0, 'nobody was there for it')
  const second = one.app.notifier.notify('123', 'second')
  const client = await connectTo(t, two, '123')
  proxy.forward()
  t.match(await Promise.all([first, second]), [{ outcome: 'held' }, { outcome: 'held' }])
  t.same(await client.received(2), ['first', 'second'])
})

test('what a connection here had that ends before the others have been asked is not waited for', { timeout: 30_000 }, async t => {
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
