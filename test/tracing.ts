import { randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { test } from 'tap'
import type { Origin } from '../src/delivery/doors.js'
import { compose } from '../src/delivery/notification.js'
import notificationPlugin from '../src/index.js'
import { loadTracing } from '../src/observability/tracing.js'
import { parseOptions } from '../src/options/parse.js'
import { createApp, startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { connectRich } from './support/rich-client.js'
import { allSpans, setUpOpenTelemetry, spansOf } from './support/spans.js'

setUpOpenTelemetry()

/** The trace of a producer, as in the headers of its message (W3C Trace Context §3.2). */
function startTrace () {
  const traceId = randomBytes(16).toString('hex')
  const spanId = randomBytes(8).toString('hex')
  return { traceId, spanId, headers: { traceparent: `00-${traceId}-${spanId}-01` } }
}

test('a message has a span in the trace of who published it', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { notifications } = await startApp(t, { amqpUrl: broker.url, queue, tracing: true })
  const client = await connectClient(t, notifications('user-123'))
  const { traceId, spanId, headers } = startTrace()
  const body = JSON.stringify({ userId: 'user-123', content: 'a secret', id: 'x' })
  await broker.publishWith({ headers, messageId: 'm' }, queue, body)
  t.same(await client.received(1), ['a secret'])

  const [span] = await spansOf(traceId, 1)
  t.equal(span!.name, `process ${queue}`)
  t.equal(span!.kind, SpanKind.CONSUMER)
  t.equal(span!.parentSpanContext?.spanId, spanId)
  t.equal(span!.instrumentationScope.name, 'fastify-notification')
  t.equal(span!.status.code, SpanStatusCode.UNSET)
  const { hostname, port } = new URL(broker.url)
  t.same(span!.attributes, {
    'messaging.system': 'rabbitmq',
    'messaging.operation.name': 'process',
    'messaging.operation.type': 'process',
    'messaging.destination.name': queue,
    'messaging.message.id': 'm',
    'messaging.message.body.size': body.length,
    'messaging.rabbitmq.message.delivery_tag': 1,
    'server.address': hostname,
    'server.port': Number(port),
    'notification.id': 'x',
    'notification.outcome': 'sent',
    'notification.connections': 1
  })
})

test('decode runs in the trace of its message, whose span has the id that it returns, or the outcome ignored', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const traces: unknown[] = []
  const { notifications } = await startApp(t, {
    amqpUrl: broker.url,
    queue,
    tracing: true,
    async decode ({ json }) {
      traces.push(trace.getSpanContext(context.active())?.traceId)
      await turn()
      return json() === 'ignored' ? undefined : { userId: '123', content: 'hi', id: 'x' }
    }
  })
  const client = await connectClient(t, notifications('123'))
  const [sent, ignored] = [startTrace(), startTrace()]
  await broker.publishWith({ headers: sent.headers }, queue, '"sent"')
  await broker.publishWith({ headers: ignored.headers }, queue, '"ignored"')
  await client.received(1)
  t.match((await spansOf(sent.traceId, 1))[0]!.attributes, { 'notification.id': 'x', 'notification.outcome': 'sent' })
  t.match((await spansOf(ignored.traceId, 1))[0]!.attributes, { 'notification.id': undefined, 'notification.outcome': 'ignored' })
  t.same(traces, [sent.traceId, ignored.traceId])
})

test('a message without a traceparent, or with one that is none, begins a trace', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app } = await startApp(t, { amqpUrl: broker.url, queue, tracing: true })
  for (const traceparent of [undefined, 'nonsense', 7, { a: 1 }, ['00']]) await broker.publishWith({ headers: { traceparent } }, queue, { userId: '123', content: 'hi' })
  await eventually(() => app.notifier.stats().offline === 5, 'routed')
  const spans = allSpans().filter(({ name }) => name === `process ${queue}`)
  t.equal(new Set(spans.map(span => span.spanContext().traceId)).size, 5)
  for (const { attributes, parentSpanContext } of spans) {
    t.equal(attributes['notification.outcome'], 'offline')
    t.equal(parentSpanContext, undefined)
  }
})

test('the span of a message lasts until a client has acknowledged', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { notifications } = await startApp(t, { amqpUrl: broker.url, queue, tracing: true, settle: 'acknowledged' })
  const client = await connectRich(t, notifications('123'))
  const { traceId, headers } = startTrace()
  await broker.publishWith({ headers }, queue, { userId: '123', content: 'hi', id: 'x' })
  await client.framesReceived(1)
  await turn()
  t.same(await spansOf(traceId, 0), [])
  client.ack('x')
  const [span] = await spansOf(traceId, 1)
  t.match(span!.attributes, { 'notification.outcome': 'acknowledged', 'notification.connections': 1 })
})

test('the span of a message that cannot be used is an error', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await startApp(t, { amqpUrl: broker.url, queue, tracing: true })
  const { traceId, headers } = startTrace()
  await broker.publishWith({ headers }, queue, 'no JSON')
  const [span] = await spansOf(traceId, 1)
  t.match(span!.attributes, { 'notification.outcome': 'dead-lettered', 'error.type': 'invalid-json' })
  t.equal(span!.status.code, SpanStatusCode.ERROR)
})

test('the span of what the broker delivers again is abandoned, and so is what is left at the end', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, log, notifications } = await startApp(t, { amqpUrl: broker.url, queue, tracing: true, settle: 'acknowledged', drainTimeout: 100 })
  const client = await connectRich(t, notifications('123'))
  const first = startTrace()
  await broker.publishWith({ headers: first.headers }, queue, { userId: '123', content: 'hi', id: 'x' })
  await client.framesReceived(1)
  await broker.channel.deleteQueue(queue)
  await log.line('consumer cancelled by the broker')
  const [span] = await spansOf(first.traceId, 1)
  t.match(span!.attributes, { 'notification.outcome': 'abandoned' })
  client.ack('x')
  await eventually(() => app.notifier.stats().abandoned === 1, 'acknowledged after all')
  t.equal((await spansOf(first.traceId, 1)).length, 1, 'ended once')

  const second = startTrace()
  await eventually(() => app.notifier.health().state === 'consuming', 'consuming again')
  await broker.publishWith({ headers: second.headers }, queue, { userId: '123', content: 'hi', id: 'y' })
  await client.framesReceived(2)
  await app.close()
  t.match((await spansOf(second.traceId, 1))[0]!.attributes, { 'notification.outcome': 'abandoned' })
})

test('another instance goes on with the trace of a message and of notify()', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
  const options = { amqpUrl: broker.url, queue, cluster: true, tracing: true }
  const one = await startApp(t, options) // the first one takes all messages of the queue
  const two = await startApp(t, options)
  const client = await connectClient(t, two.notifications('123'))
  await eventually(() => two.app.notifier.connections('123') === 1, 'bound')
  const tracer = trace.getTracer('application')
  await tracer.startActiveSpan('POST /orders', async span => {
    await one.app.notifier.notify('123', 'hi', { id: 'x' })
    span.end()
    const spans = await spansOf(span.spanContext().traceId, 2)
    const hosted = spans.find(({ name }) => name === `process ${queue}.relay`)!
    t.match(hosted.attributes, { 'messaging.destination.name': `${queue}.relay`, 'notification.id': 'x', 'notification.outcome': 'sent', 'notification.connections': 1 })
    t.equal(hosted.parentSpanContext?.spanId, span.spanContext().spanId)
  })

  const { traceId, headers } = startTrace()
  await broker.publishWith({ headers }, queue, { userId: '123', content: 'hi' })
  await client.received(2)
  const relayed = await spansOf(traceId, 2)
  const taken = relayed.find(({ name }) => name === `process ${queue}`)!
  t.equal(relayed.find(({ name }) => name === `process ${queue}.relay`)!.parentSpanContext?.spanId, taken.spanContext().spanId)
  t.match(taken.attributes, { 'notification.outcome': 'sent', 'notification.connections': 1 })
})

test("where amqplib is instrumented too, its span is the parent of the plugin's", async t => {
  const observer = await loadTracing(parseOptions({ amqpUrl: 'amqps://localhost', queue: 'hello', tracing: true }), createApp(t).app.log)
  const { traceId, headers } = startTrace()
  const notification = compose('123', 'hi')
  function createOrigin (): Origin {
    return { queue: 'hello', gone: new AbortController().signal, message: { content: Buffer.from(''), fields: { deliveryTag: 1 }, properties: { headers } } } as never
  }
  function settle (origin: Origin): void {
    observer.received(origin, notification)
    observer.settled(notification, origin, 'own', { outcome: 'sent', connections: 1 }, undefined)
  }
  const theirs = trace.getTracer('amqplib').startSpan('consume', {}, trace.setSpanContext(context.active(), { traceId, spanId: randomBytes(8).toString('hex'), traceFlags: 1 }))
  context.with(trace.setSpan(context.active(), theirs), settle, undefined, createOrigin())
  // Some other span, of when the connection was opened.
  const other = trace.getTracer('application').startSpan('start')
  context.with(trace.setSpan(context.active(), other), settle, undefined, createOrigin())
  const failed = createOrigin()
  observer.received(failed, notification)
  observer.failed(notification, failed, new TypeError('broken'))
  const [first, second, third] = await spansOf(traceId, 3)
  t.equal(first!.parentSpanContext?.spanId, theirs.spanContext().spanId)
  t.equal(second!.parentSpanContext?.spanId, headers.traceparent.split('-')[2])
  t.match(third!.attributes, { 'notification.outcome': 'failed', 'error.type': 'TypeError', 'server.port': 5671 })
})

test('no span says what a notification says, or for whom it is', async t => {
  for (const { name, attributes, events } of allSpans()) t.notMatch(JSON.stringify({ name, attributes, events }), /secret|user-123/)
})

test('tracing is off by default, and an error names what is not installed', async t => {
  const before = allSpans().length
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app } = await startApp(t, { amqpUrl: broker.url, queue })
  await broker.publishWith({ headers: startTrace().headers }, queue, { userId: '123', content: 'hi' })
  await eventually(() => app.notifier.stats().offline === 1, 'routed')
  t.equal(allSpans().length, before)

  const missing = async () => { throw Object.assign(new Error('not found'), { code: 'ERR_MODULE_NOT_FOUND' }) }
  await t.rejects(loadTracing(parseOptions({ tracing: true }), createApp(t).app.log, missing), { code: 'FST_NOTIFICATION_TRACING_NO_API' })
  await t.rejects(loadTracing(parseOptions({ tracing: true }), createApp(t).app.log, async () => { throw new Error('broken') }), { message: 'broken' })
  await createApp(t).app.register(notificationPlugin, { tracing: true })
})
