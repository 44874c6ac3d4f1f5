import { context, propagation, ROOT_CONTEXT, trace, type Context, type TextMapGetter } from '@opentelemetry/api'
import { BasicTracerProvider, type Span, type SpanProcessor } from '@opentelemetry/sdk-trace-base'
import Fastify, { type FastifyBaseLogger } from 'fastify'
import { Registry, Histogram } from 'prom-client'
import { test, type Test } from 'tap'
import notificationPlugin from '../../src/index.js'
import { listen, startApp, type TestApp } from '../support/app.js'
import { useBroker, type TestBroker } from '../support/broker.js'
import { connectClient } from '../support/client.js'
import { eventually } from '../support/eventually.js'
import { connectRich } from '../support/rich-client.js'

/** As the application's own part of OpenTelemetry may be. */
const broken = { extract: false, end: false, with: false }

trace.setGlobalTracerProvider(new BasicTracerProvider({
  spanProcessors: [{
    onStart () {},
    onEnd () { if (broken.end) throw new RangeError('a span processor that throws: secret') },
    async forceFlush () {},
    async shutdown () {}
  } satisfies SpanProcessor & { onEnd (span: unknown): void, onStart (span: Span): void }]
}))
propagation.setGlobalPropagator({
  inject () {},
  extract (parent: Context, _carrier: unknown, _getter: TextMapGetter) {
    if (broken.extract) throw new TypeError('a propagator that throws: secret')
    return parent
  },
  fields: () => []
})
context.disable()
context.setGlobalContextManager({
  active: () => ROOT_CONTEXT,
  with (_context, step, self, ...args) {
    if (broken.with) throw new URIError('a context manager that throws: secret')
    return Reflect.apply(step, self, args)
  },
  bind: (_context, target) => target,
  enable () { return this },
  disable () { return this }
})

const prefetch = 2
const bodies = Array.from({ length: 5 }, (_, n) => ({ userId: '123', content: n, id: `n${n}` }))

/** They are in the dead-letter queue, nothing is unsettled, and the next message arrives. */
async function assertDeadLettered (t: Test, broker: TestBroker, queue: string, { app, log }: Pick<TestApp, 'app' | 'log'>, detail: string): Promise<void> {
  await eventually(() => app.notifier.stats().deadLettered['internal-error'] === bodies.length, 'all are dead-lettered, more than the prefetch')
  await eventually(() => app.notifier.health().unsettled === 0, 'no place of the prefetch is taken')
  const letters = await broker.takeAll(`${queue}.dead`)
  t.same(letters.map(({ content }) => JSON.parse(content.toString()).content).sort(), bodies.map(({ content }) => content))
  for (const { properties: { headers } } of letters) t.match(headers, { 'x-notification-reason': 'internal-error', 'x-notification-detail': detail })
  t.match(await log.line('message failed unexpectedly'), { level: 50, queue, error: { at: [/^at /] } })
  t.notMatch(JSON.stringify(log.lines), 'secret', 'the text of an error may quote a message')
  t.equal((await broker.channel.checkQueue(queue)).messageCount, 0)
}

/** They arrive, once, and nothing else becomes of them; the log has a line that names the error. */
async function assertDelivered (t: Test, broker: TestBroker, queue: string, { app, log }: Pick<TestApp, 'app' | 'log'>, event: string, name: string): Promise<void> {
  await eventually(() => app.notifier.health().unsettled === 0, 'all are settled')
  t.match(app.notifier.stats().deadLettered, { 'internal-error': 0 })
  t.equal((await broker.takeAll(`${queue}.dead`)).length, 0)
  t.match(await log.line('observer failed'), { level: 50, event, error: { name, at: [/^at /] } })
  t.equal(log.lines.filter(({ msg, event: of }) => msg === 'observer failed' && of === event).length, 1, 'once, not for each message')
  t.notMatch(JSON.stringify(log.lines), 'secret', 'the text of an error may quote a message')
}

test('fault 84: an error that nobody expects: each message is dead-lettered, and none holds a place of the prefetch', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const running = await startApp(t, { amqpUrl: broker.url, queue, prefetch, tracing: true, journal: 100 })
  const client = await connectClient(t, running.notifications('123'))
  broken.with = true
  t.teardown(() => { broken.with = false })
  await broker.publish(queue, ...bodies)
  await assertDeadLettered(t, broker, queue, running, 'an unexpected error: URIError')
  t.match(running.app.notifier.trace(), [{ event: 'connected' }, ...bodies.map(() => ({ event: 'dead-lettered', reason: 'internal-error', queue }))])

  broken.with = false
  await broker.publish(queue, { userId: '123', content: 'well again' })
  t.same(await client.received(1), ['well again'])
})

test('fault 84: a propagator that throws changes nothing of what becomes of a message', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const running = await startApp(t, { amqpUrl: broker.url, queue, prefetch, tracing: true, journal: 100 })
  const client = await connectClient(t, running.notifications('123'))
  broken.extract = true
  t.teardown(() => { broken.extract = false })
  await broker.publish(queue, ...bodies)
  t.same(await client.received(bodies.length), bodies.map(({ content }) => String(content)))
  await assertDelivered(t, broker, queue, running, 'received', 'TypeError')
})

for (const settle of ['sent', 'acknowledged'] as const) {
  test(`fault 84: a span processor that throws when a message is ${settle} changes nothing of what becomes of it`, async t => {
    const broker = await useBroker(t)
    const queue = broker.queueName()
    const running = await startApp(t, { amqpUrl: broker.url, queue, prefetch, tracing: true, settle })
    const client = await connectRich(t, running.notifications('123'))
    broken.end = true
    t.teardown(() => { broken.end = false })
    await broker.publish(queue, ...bodies)
    for (const [n, { id }] of bodies.entries()) {
      await client.framesReceived(n + 1)
      client.ack(id)
    }
    await assertDelivered(t, broker, queue, running, 'settled', 'RangeError')
  })
}

test('fault 84: a histogram of the application that throws: the same', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const registry = new Registry()
  const running = await startApp(t, { amqpUrl: broker.url, queue, prefetch, metrics: registry })
  const histogram = registry.getSingleMetric('fastify_notification_delivery_since_consumption_seconds') as Histogram
  histogram.observe = () => { throw new SyntaxError('broken') }
  await broker.publish(queue, ...bodies)
  await eventually(() => running.app.notifier.stats().offline === bodies.length, 'all have their outcome')
  await assertDelivered(t, broker, queue, running, 'settled', 'SyntaxError')
})

test('fault 84: a logger that throws changes nothing of what becomes of a message', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const fail = (): void => { throw new Error('no space left on device') }
  const logger = { level: 'debug', fatal: fail, error: fail, warn: fail, info: fail, debug: fail, trace: fail, silent () {}, child: () => logger } as unknown as FastifyBaseLogger
  const app = Fastify({ loggerInstance: logger, disableRequestLogging: true })
  t.teardown(() => app.close())
  const warnings: Array<Error & { code?: string }> = []
  const note = (warning: Error) => { warnings.push(warning) }
  process.on('warning', note)
  t.teardown(() => process.off('warning', note))
  await app.register(notificationPlugin, { amqpUrl: broker.url, queue, prefetch, offline: 'dead-letter' })
  logger.info = () => {} // Fastify's own
  await app.ready()
  await broker.publish(queue, 'nonsense', ...bodies)
  await eventually(() => app.notifier.stats().deadLettered.offline === bodies.length, 'each has gone its way')
  await eventually(() => app.notifier.health().unsettled === 0, 'no place of the prefetch is taken')
  t.match(app.notifier.stats().deadLettered, { 'invalid-json': 1, 'internal-error': 0 })
  t.equal((await broker.takeAll(`${queue}.dead`)).length, bodies.length + 1, 'once each')
  await eventually(() => warnings.some(({ code, message }) => code === 'FST_NOTIFICATION_LOGGER_FAILED' && message.includes('no space left on device')), 'Node has warned')

  logger.error = logger.warn = logger.debug = () => {}
  const { notifications } = await listen(app)
  const client = await connectClient(t, notifications('123'))
  await broker.publish(queue, { userId: '123', content: 'hello' })
  t.same(await client.received(1), ['hello'])
})
