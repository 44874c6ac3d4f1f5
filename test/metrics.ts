import { Counter, Registry, type OpenMetricsContentType } from 'prom-client'
import { test, type Test } from 'tap'
import notificationPlugin, { type NotificationPluginOptions } from '../src/index.js'
import { healthStates } from '../src/health.js'
import { createMetrics } from '../src/metrics/index.js'
import { metricTable } from '../src/metrics/table.js'
import { createApp, listen, startApp, type TestApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { startProxy } from './support/proxy.js'
import { connectRaw } from './support/raw-client.js'
import { usePrivateRedis } from './support/redis.js'
import { connectRich } from './support/rich-client.js'

interface Measured extends TestApp {
  readonly registry: Registry
  /** The value of a series, named without the prefix. */
  value (series: string): Promise<number | undefined>
  /** Resolves when a series has a value. */
  reaches (series: string, value: number): Promise<void>
}

async function valueIn (registry: Pick<Registry, 'metrics'>, series: string): Promise<number | undefined> {
  const line = (await registry.metrics()).split('\n').find(line => line.startsWith(`fastify_notification_${series} `))
  return line === undefined ? undefined : Number(line.split(' ').at(-1))
}

/** Whether every label has one of a few values. */
async function assertBounded (t: Test, registry: Registry, queues: string[]): Promise<void> {
  const bounds: Record<string, RegExp> = {
    queue: new RegExp(`^(${queues.join('|')})$`),
    outcome: /^(acknowledged|sent|held|offline|dead-lettered)$/,
    reason: /^(too-large|invalid-utf8|invalid-json|invalid-message|offline|overflow|expired)$/,
    purpose: /^(consumer|publisher|relay)$/,
    state: new RegExp(`^(${healthStates.join('|')})$`),
    code: /^(10(0[0-35-9]|1[0-5])|400[0-2]|450[02]|other|released)$/,
    result: /^(routed|returned)$/,
    receipt: /^(taken|nobody|sent|acknowledged|held)$/,
    le: /^([\d.]+|\+Inf)$/
  }
  const wrong = [...(await registry.metrics()).matchAll(/(\w+)="([^"]*)"/g)].filter(([, label, value]) => bounds[label!]?.test(value!) !== true)
  t.same(wrong.map(([pair]) => pair), [], 'each label has few values')
}

async function startMeasured (t: Test, options: NotificationPluginOptions = {}): Promise<Measured> {
  const registry = new Registry()
  const started = await startApp(t, { metrics: registry, ...options })
  const value = (series: string) => valueIn(registry, series)
  return { ...started, registry, value, reaches: (series, wanted) => eventually(async () => await value(series) === wanted, `${series} ${wanted}`) }
}

test('outcomes and reasons, the consumer, and how long it took', async t => {
  const broker = await useBroker(t)
  const queues = [broker.queueName(), broker.queueName()]
  const [queue, other] = queues as [string, string]
  const { app, notifications, registry, value, reaches } = await startMeasured(t, { amqpUrl: broker.url, queue: queues, prefetch: 77 })
  const user = 'who-must-not-be-named'
  const client = await connectClient(t, notifications(user))
  const message = { userId: user, content: 'hi', id: 'id-of-somebody' }
  await broker.publish(queue, message, message, { userId: 'nobody', content: 'hi' }, 'no JSON', '{}', Buffer.from([0xff]))
  await broker.publish(other, message)
  await client.received(3)
  await app.notifier.notify(user, 'hi')

  for (const [reason, count] of Object.entries({ 'invalid-json': 1, 'invalid-message': 1, 'invalid-utf8': 1, 'too-large': 0, offline: 0 })) {
    await reaches(`messages_total{outcome="dead-lettered",reason="${reason}"}`, count)
  }
  for (const [outcome, count] of Object.entries({ sent: 4, offline: 1, acknowledged: 0, held: 0 })) await reaches(`messages_total{outcome="${outcome}"}`, count)
  t.equal(await value('abandoned_total'), 0)

  const since = 'delivery_since_consumption_seconds'
  await reaches(`${since}_count{queue="${queue}",outcome="dead-lettered"}`, 3)
  t.equal(await value(`${since}_count{queue="${queue}",outcome="sent"}`), 2)
  t.equal(await value(`${since}_count{queue="${queue}",outcome="offline"}`), 1)
  t.equal(await value(`${since}_count{queue="${other}",outcome="sent"}`), 1, 'notify() consumes nothing')
  t.equal(await value(`${since}_bucket{le="60",queue="${queue}",outcome="sent"}`), 2)
  const seconds = await value(`${since}_sum{queue="${queue}",outcome="sent"}`)
  t.ok(seconds! > 0 && seconds! < 60, `${seconds} s`)
  t.equal(await value(`delivery_since_publish_seconds_count{queue="${queue}",outcome="sent"}`), undefined, 'nobody has said when')

  for (const queue of queues) {
    t.equal(await value(`consuming{queue="${queue}"}`), 1)
    t.equal(await value(`unsettled{queue="${queue}"}`), 0)
    t.equal(await value(`prefetch{queue="${queue}"}`), 77)
    t.equal(await value(`reconnects_total{purpose="consumer",queue="${queue}"}`), 0)
  }
  t.equal(await value('ready'), 1)
  t.equal(await value('state{state="consuming"}'), 1)
  t.equal(await value('state{state="connecting"}'), 0)
  for (const secret of [user, 'nobody', 'id-of-somebody', client.socket.url]) t.notMatch(await registry.metrics(), secret)
  await assertBounded(t, registry, queues)
})

test('the time since the publish: in seconds, in milliseconds, or from the header of RabbitMQ', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { value, reaches } = await startMeasured(t, { amqpUrl: broker.url, queue })
  const series = (end: string) => `delivery_since_publish_seconds_${end}{queue="${queue}",outcome="offline"}`
  const ago = Date.now() - 100_000
  let sum = 0
  for (const [n, properties] of [
    { timestamp: Math.floor(ago / 1_000) },
    { timestamp: ago },
    { timestamp: 1, headers: { timestamp_in_ms: ago } }
  ].entries()) {
    await broker.publishWith(properties, queue, { userId: '1', content: 'hi' })
    await reaches(series('count'), n + 1)
    const now = (await value(series('sum')))!
    t.ok(now - sum >= 99.9 && now - sum < 160, `${now - sum} s`)
    sum = now
  }
  await broker.publishWith({ timestamp: Math.ceil(Date.now() / 1_000) + 1_000 }, queue, { userId: '1', content: 'from the future' })
  await reaches(series('count'), 4)
  t.equal(await value(series('sum')), sum)
  await broker.publish(queue, { userId: '1', content: 'without' })
  await reaches(`delivery_since_consumption_seconds_count{queue="${queue}",outcome="offline"}`, 5)
  t.equal(await value(series('count')), 4)
})

test('connects and closes, by code: the one that was sent, else the one that came, and few of them', async t => {
  const { app, notifications, registry, value, reaches } = await startMeasured(t, { limits: { connections: 123, bufferedBytes: 1 } })
  const open = () => connectClient(t, notifications('123'))
  const series = (code: string) => `closes_total{code="${code}"}`
  t.equal(await value('connections_limit'), 123)

  const two = [await open(), await open()]
  t.equal(await value('connections'), 2)
  t.equal(await value('users'), 1)
  t.equal(await value('connects_total'), 2)
  app.notifier.disconnect('123')
  await Promise.all(two.map(({ closed }) => closed))
  await reaches(series('4502'), 2)
  t.equal(await value('connections'), 0)

  for (const [code, label] of [[1000, '1000'], [undefined, '1005'], [3999, 'other'], [4321, 'other']] as const) {
    const before = (await value(series(label)))!
    ;(await open()).socket.close(code)
    await reaches(series(label), before + 1)
  }
  ;(await open()).socket.terminate()
  await reaches(series('1006'), 1)
  ;(await open()).socket.send(Buffer.from('binary'), { binary: true })
  await reaches(series('1003'), 1)
  for (const [code, opcode, payload] of [['1002', 0xb, ''], ['1007', 1, Buffer.from([0xff])], ['1009', 1, Buffer.alloc(5_000, 'x')]] as const) {
    const raw = await connectRaw(t, notifications('123'))
    raw.send(opcode, payload)
    await reaches(series(code), 1)
  }

  const slow = await connectRaw(t, notifications('slow'))
  slow.socket.pause()
  await eventually(async () => {
    await app.notifier.notify('slow', 'x'.repeat(1_000_000))
    return !app.notifier.users.has('slow')
  }, 'closed as too slow')
  slow.socket.destroy()
  await reaches(series('4000'), 1) // though no answer came

  t.equal(await value('connections'), 0)
  await assertBounded(t, registry, [])
})

test('what waits for clients to read it', async t => {
  const { app, notifications, value } = await startMeasured(t)
  t.equal(await value('buffered_bytes'), 0)
  const slow = await connectRaw(t, notifications('slow'))
  slow.socket.pause()
  await eventually(async () => {
    await app.notifier.notify('slow', 'x'.repeat(100_000))
    return (await value('buffered_bytes'))! >= 100_000
  }, 'waits')
  t.equal(await value('closes_total{code="4000"}'), 0)
})

test("a socket that is the application's again has not been closed", async t => {
  const metrics = new Registry()
  const { app } = createApp(t)
  await app.register(notificationPlugin, { metrics })
  app.get('/own', { websocket: true }, socket => {
    app.notifier.register('123', socket)
    app.notifier.unregister('123', socket)
    socket.close(1000)
  })
  const { at } = await listen(app)
  const client = await connectClient(t, at('/own'))
  t.match(await client.closed, { code: 1000 })
  t.equal(await valueIn(metrics, 'connects_total'), 1)
  t.equal(await valueIn(metrics, 'closes_total{code="released"}'), 1)
  t.equal(await valueIn(metrics, 'closes_total{code="1000"}'), 0)
})

test('held in memory, released and dropped', async t => {
  const { app, notifications, value, reaches } = await startMeasured(t, { offline: 'hold', settle: 'acknowledged', hold: { maxCount: 3 } })
  for (let n = 0; n < 5; n++) await app.notifier.notify('123', n)
  t.equal(await value('held'), 3)
  t.equal(await value('messages_total{outcome="held"}'), 5)
  t.equal(await value('dropped_total{reason="overflow"}'), 2)
  t.equal(await value('dropped_total{reason="expired"}'), 0)
  t.equal(await value('hold_failing'), 0)
  t.equal(await value('unsettled'), undefined, 'there is no broker')
  const client = await connectRich(t, notifications('123'))
  client.ack(...(await client.framesReceived(3)).map(({ id }) => id!))
  await reaches('released_total', 3)
  await reaches('held', 0)
  t.equal(await value('messages_total{outcome="acknowledged"}'), 3)
})

test('a hold that fails', async t => {
  const redis = await usePrivateRedis(t)
  const { value, reaches } = await startMeasured(t, { offline: 'hold', hold: { redis: redis.url } })
  t.equal(await value('hold_failing'), 0)
  t.equal(await value('held'), undefined, 'they are not in this process')
  await redis.stop()
  await reaches('hold_failing', 1)
  t.equal(await value('state{state="hold-failing"}'), 1)
})

test('connections to the broker that were opened again', async t => {
  const broker = await useBroker(t)
  const proxy = await startProxy(t, broker.url)
  const queue = broker.queueName()
  const { app, value, reaches } = await startMeasured(t, { amqpUrl: proxy.through(broker.url), queue, reconnect: { initialDelay: 500, maxDelay: 500 } })
  proxy.reset('consumer')
  await reaches(`consuming{queue="${queue}"}`, 0)
  t.equal(await value('ready'), 0)
  await reaches(`reconnects_total{purpose="consumer",queue="${queue}"}`, 1)
  await reaches(`consuming{queue="${queue}"}`, 1)
  t.equal(await value('reconnects_total{purpose="publisher"}'), 0)
  proxy.reset('publisher')
  await reaches('reconnects_total{purpose="publisher"}', 1)
  await broker.channel.deleteQueue(queue)
  await reaches(`reconnects_total{purpose="consumer",queue="${queue}"}`, 2)
  t.match(app.notifier.health(), { state: 'consuming' })
})

test('several instances: what was relayed, and how long that took', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
  const options = { amqpUrl: broker.url, queue, cluster: true, settle: 'acknowledged' } as const
  const one = await startMeasured(t, options)
  const two = await startMeasured(t, options)
  t.equal(await one.value('bindings'), 0)
  const client = await connectRich(t, two.notifications('123'))
  await two.reaches('bindings', 1)

  t.match(await one.app.notifier.notify('nobody', 'hi'), { outcome: 'offline' })
  t.equal(await one.value('relay_confirm_seconds_count{result="returned"}'), 1)
  const pending = one.app.notifier.notify('123', 'hi', { id: 'x' })
  await client.framesReceived(1)
  client.ack('x')
  t.match(await pending, { outcome: 'acknowledged' })
  t.equal(await one.value('messages_total{outcome="acknowledged"}'), 1)
  t.equal(await one.value('relayed_total'), 1)
  t.equal(await two.value('messages_total{outcome="acknowledged"}'), 0, 'the instance that took it counts it')
  await one.reaches('relay_confirm_seconds_count{result="routed"}', 1)
  t.equal(await one.value('relay_receipt_seconds_count{receipt="taken"}'), 1)
  t.equal(await one.value('relay_receipt_seconds_count{receipt="acknowledged"}'), 1)
  const seconds = await one.value('relay_receipt_seconds_sum{receipt="acknowledged"}')
  t.ok(seconds! > 0 && seconds! < 60, `${seconds} s`)
  for (const purpose of ['publisher', 'relay']) t.equal(await one.value(`reconnects_total{purpose="${purpose}"}`), 0)

  await assertBounded(t, one.registry, [queue])

  // All that there can be is there: but for what is only in memory.
  const names = new Set(one.registry.getMetricsAsArray().map(({ name }) => name))
  const { held, holdFailing, released, dropped, ...others } = metricTable
  t.same([...names].sort(), Object.values(others).map(({ name }) => name).sort())
})

test('without the option nothing is measured', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  let calls = 0
  const { now } = performance
  t.teardown(() => { performance.now = now })
  performance.now = () => {
    calls++
    return now.call(performance)
  }
  for (const [options, expected] of [[{}, 0], [{ metrics: new Registry() }, 20]] as const) {
    const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, ...options })
    const client = await connectClient(t, notifications('123'))
    calls = 0
    for (let n = 0; n < 10; n++) await broker.publish(queue, { userId: '123', content: 'hi' })
    await client.received(10)
    t.equal(calls, expected)
    await app.close()
  }
})

test('taken out when the application closes: the next one has the registry for itself', async t => {
  const registry = new Registry()
  const own = new Counter({ name: 'orders_total', help: 'orders', registers: [registry] })
  for (let n = 0; n < 2; n++) {
    const { app } = await startApp(t, { metrics: registry })
    await app.notifier.notify('123', 'hi')
    t.equal(await valueIn(registry, 'messages_total{outcome="offline"}'), 1)
    await app.close()
    t.same(registry.getMetricsAsArray(), [own])
  }
})

test('a registry is for one instance at a time', async t => {
  const metrics = new Registry()
  await startApp(t, { metrics })
  const error = { code: 'FST_NOTIFICATION_METRICS_TAKEN', statusCode: 500, message: /already has a metric 'fastify_notification_messages_total'/ }
  const { app } = createApp(t)
  await t.rejects(Promise.resolve(app.register(notificationPlugin, { metrics })), error)
  await app.close()
  t.equal(await valueIn(metrics, 'connections'), 0, 'those of the other one are still there')

  // Both at once: one of them.
  const shared = new Registry()
  const apps = [createApp(t).app, createApp(t).app]
  const results = await Promise.allSettled(apps.map(async app => { await app.register(notificationPlugin, { metrics: shared }) }))
  t.same(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
})

test('prom-client that is not installed', async t => {
  const missing = Object.assign(new Error("Cannot find package 'prom-client'"), { code: 'ERR_MODULE_NOT_FOUND' })
  const error = { code: 'FST_NOTIFICATION_METRICS_NO_CLIENT', statusCode: 500, cause: missing }
  await t.rejects(createMetrics(new Registry(), async () => { throw missing }), error)
  const broken = new SyntaxError('broken')
  await t.rejects(createMetrics(new Registry(), async () => { throw broken }), broken)
})

test('a registry in OpenMetrics works too', async t => {
  const registry = new Registry<OpenMetricsContentType>()
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
  const { app } = await startApp(t, { metrics: registry })
  await app.notifier.notify('123', 'hi')
  t.equal(await valueIn(registry, 'messages_total{outcome="offline"}'), 1)
  await app.close()
  t.same(registry.getMetricsAsArray(), [])
})
