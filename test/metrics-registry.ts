import { Counter, Registry, type OpenMetricsContentType } from 'prom-client'
import { test } from 'tap'
import notificationPlugin from '../src/index.js'
import { createMetrics } from '../src/observability/metrics/index.js'
import { createApp, startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { valueIn } from './support/measured.js'

test('without the option metrics nothing is measured', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  let calls = 0
  const { now } = performance
  t.teardown(() => { performance.now = now })
  performance.now = () => {
    if (!new Error().stack!.includes('websocket/heartbeat')) calls++ // which looks at the clock once a second, whatever is delivered
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

test('metrics leave the registry when the application closes, and the next one has it for itself', async t => {
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

test('a registry of metrics is for one instance of the plugin at a time', async t => {
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

test('metrics without prom-client installed are an error that says so', async t => {
  const missing = Object.assign(new Error("Cannot find package 'prom-client'"), { code: 'ERR_MODULE_NOT_FOUND' })
  const error = { code: 'FST_NOTIFICATION_METRICS_NO_CLIENT', statusCode: 500, cause: missing }
  await t.rejects(createMetrics(new Registry(), createApp(t).app.log, async () => { throw missing }), error)
  const broken = new SyntaxError('broken')
  await t.rejects(createMetrics(new Registry(), createApp(t).app.log, async () => { throw broken }), broken)
})

test('metrics go into a registry in the format OpenMetrics too', async t => {
  const registry = new Registry<OpenMetricsContentType>()
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
  const { app } = await startApp(t, { metrics: registry })
  await app.notifier.notify('123', 'hi')
  t.equal(await valueIn(registry, 'messages_total{outcome="offline"}'), 1)
  await app.close()
  t.same(registry.getMetricsAsArray(), [])
})
