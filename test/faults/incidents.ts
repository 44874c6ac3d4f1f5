// What an operator sees within the first seconds of an incident: in the log, in health(), in the metrics and in trace().
import { createHmac } from 'node:crypto'
import { Registry } from 'prom-client'
import { test } from 'tap'
import type { TraceEntry } from '../../src/index.js'
import { startApp } from '../support/app.js'
import { connectTo, useBroker } from '../support/broker.js'
import { connectClient, refusal } from '../support/client.js'
import { startInstance } from '../support/cluster.js'
import { eventually } from '../support/eventually.js'
import { startMeasured } from '../support/measured.js'
import { startBroker } from '../support/private-broker.js'
import { usePrivateRedis } from '../support/redis.js'
import { refuseDeadLetters } from '../support/refuse-dead-letters.js'
import { connectRich } from '../support/rich-client.js'

const journal = 1_000

/** What waits, in short. */
const waits = (entries: TraceEntry[]) => entries.filter(({ event }) => event === 'waiting').map(({ userId, id, reason }) => `${userId} ${id} ${reason}`)

test('incident: Redis is down', async t => {
  const broker = await useBroker(t)
  const redis = await usePrivateRedis(t)
  const queue = broker.queueName()
  const { app, log, value, notifications } = await startMeasured(t, { amqpUrl: broker.url, queue, journal, offline: 'hold', hold: { redis: redis.url } })
  const client = await connectClient(t, notifications('here'))
  await eventually(async () => (await app.notifier.notify('here', 'before')).outcome === 'sent', 'what was held for them was read')
  await redis.kill()
  t.match(await log.line('hold failed'), { level: 40, err: { code: 'FST_NOTIFICATION_HOLD_FAILED' } })
  t.match(app.notifier.health(), { state: 'hold-failing', ready: true, lastError: { code: 'FST_NOTIFICATION_HOLD_FAILED' } })
  t.equal(await value('hold_failing'), 1)

  await broker.publish(queue, { userId: 'away', content: 'hi', id: 'a' }, { userId: 'here', content: 'hi' })
  await eventually(() => client.messages.includes('hi'), 'who is connected gets theirs')
  t.match(app.notifier.health(), { unsettled: 1, waitingFor: { hold: 1 } })
  t.equal(await value(`waiting{queue="${queue}",cause="hold"}`), 1)
  t.same(waits(app.notifier.trace({ userId: 'away' })), ['away a hold'])
})

test('incident: a memory alarm of RabbitMQ, before anything was published', { timeout: 600_000 }, async t => {
  const node = await startBroker(t)
  const broker = await connectTo(t, node.url)
  const { app, log, value, notifications } = await startMeasured(t, { amqpUrl: node.url, queue: 'hello', journal })
  const client = await connectClient(t, notifications('123'))
  await node.ctl('set_vm_memory_high_watermark', '0.00001')
  t.match(await log.line('broker publisher blocked'), { level: 40, reason: 'low on memory' })
  t.match(app.notifier.health(), { state: 'blocked', ready: true, lastError: { message: 'the broker takes no publishes: low on memory' } })
  t.equal(await value('state{state="blocked"}'), 1)
  t.match(await app.notifier.notify('123', 'hi', { id: 'a' }), { outcome: 'sent' })
  await client.received(1)

  await node.ctl('set_vm_memory_high_watermark', '0.4')
  await eventually(() => app.notifier.health().state === 'consuming', 'it is over')
  t.equal(app.notifier.health().lastError, undefined)
  await broker.publish('hello', { userId: '123', content: 'after' })
  await client.received(2)
})

test('incident: a memory alarm when the application starts', { timeout: 600_000 }, async t => {
  const node = await startBroker(t)
  await node.ctl('set_vm_memory_high_watermark', '0.00001')
  const { app, log } = await startMeasured(t, { amqpUrl: node.url, queue: 'hello' })
  t.match(await log.line('broker publisher blocked'), { reason: 'low on memory' })
  t.match(app.notifier.health(), { state: 'blocked', lastError: { message: /low on memory/ } })
})

test('incident: a user who never acknowledges', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, log, value, notifications } = await startMeasured(t, { amqpUrl: broker.url, queue, journal, settle: 'acknowledged', maxUnacked: 2, prefetch: 16, ackTimeout: 6_000 })
  const client = await connectRich(t, notifications('silent'))
  await broker.publish(queue, ...['a', 'b', 'c', 'd'].map(id => ({ userId: 'silent', content: 'hi', id })))
  await client.framesReceived(2)
  await eventually(() => app.notifier.health().unsettled === 4, 'all wait')
  t.match(app.notifier.health(), { state: 'consuming', ready: true, lastError: undefined, waitingFor: { ack: 2, room: 2 } })
  t.equal(await value(`waiting{queue="${queue}",cause="ack"}`), 2)
  t.equal(await value(`waiting{queue="${queue}",cause="room"}`), 2)
  t.same(waits(app.notifier.trace()).toSorted(), ['silent a ack', 'silent b ack', 'silent c room', 'silent d room'])
  t.match(await log.line('client disconnected'), { userId: 'silent', code: 4002 })
  t.match(app.notifier.trace({ userId: 'silent' }).find(({ event }) => event === 'closing'), { code: 4002, reason: 'the client did not acknowledge in time' })
  t.equal(await value('closes_total{code="4002"}'), 1)
})

test('incident: dead letters are refused', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await refuseDeadLetters(broker, queue)
  const { app, log, value } = await startMeasured(t, { amqpUrl: broker.url, queue, journal, offline: 'dead-letter' })
  await broker.publishWith({ messageId: 'nonsense' }, queue, 'no JSON')
  t.match(await log.line('dead letters cannot be published'), { level: 40, queue, id: 'nonsense', deadLetterQueue: `${queue}.dead` })
  await broker.publish(queue, { userId: 'away', content: 'hi', id: 'a' })
  await eventually(() => app.notifier.health().unsettled === 2, 'both wait')
  t.match(app.notifier.health(), { state: 'dead-letters-failing', lastError: { code: 'FST_NOTIFICATION_PUBLISH_FAILED' }, waitingFor: { 'dead-letters': 2 } })
  t.equal(await value('dead_letters_failing'), 1)
  t.equal(await value(`waiting{queue="${queue}",cause="dead-letters"}`), 2)
  t.same(waits(app.notifier.trace()), ['undefined nonsense dead-letters', 'away a dead-letters'])
  t.same(waits(app.notifier.trace({ userId: 'away' })), ['away a dead-letters'])
})

test('incident: two instances without cluster: true', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const start = () => startMeasured(t, { amqpUrl: broker.url, queue, journal })
  const [one, two] = [await start(), await start()]
  await connectClient(t, one.notifications('123'))
  await connectClient(t, two.notifications('456'))
  for (const { log, app, reaches } of [one, two]) {
    t.match(await log.line('another consumer takes part of the messages, for users who may be connected here: set cluster: true on all instances'), { level: 40, queue, consumers: 1 })
    await reaches(`other_consumers{queue="${queue}"}`, 1)
    t.match(app.notifier.health(), { state: 'consuming', otherConsumers: 1 })
  }
  // Of two messages for a user, RabbitMQ gives each instance one.
  await broker.publish(queue, { userId: '123', content: 'hi', id: 'a' }, { userId: '123', content: 'hi', id: 'b' })
  const both = () => [...one.app.notifier.trace({ userId: '123' }), ...two.app.notifier.trace({ userId: '123' })].map(({ event }) => event)
  await eventually(() => both().length === 3, 'both have their outcomes')
  t.same(both().toSorted(), ['connected', 'offline', 'sent'])
})

test('incident: an instance is frozen', { timeout: 600_000 }, async t => {
  const broker = await useBroker(t)
  const redis = await usePrivateRedis(t)
  const queue = broker.queueName()
  t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
  const here = await startMeasured(t, { amqpUrl: broker.url, queue, journal, cluster: true, settle: 'acknowledged', offline: 'hold', hold: { redis: redis.url } })
  const there = await startInstance(t, { amqpUrl: broker.url, queue, redisUrl: redis.url })
  await connectRich(t, there.notifications('123'))
  await eventually(() => here.app.notifier.isOnline('123'), 'known here')
  t.equal(await here.value('peers'), 1)
  there.freeze()
  t.teardown(() => there.goOn())
  await broker.publish(queue, { userId: '123', content: 'hi', id: 'a' })
  await eventually(() => here.app.notifier.health().waitingFor.peers === 1, 'it waits for the frozen one')
  t.match(here.app.notifier.health(), { state: 'consuming', unsettled: 1, lastError: undefined })
  t.equal(await here.value(`waiting{queue="${queue}",cause="peers"}`), 1)
  t.same(waits(here.app.notifier.trace({ userId: '123' })), ['123 a peers'])
  // Its heartbeats to RabbitMQ end, and so does its inbox.
  await eventually(() => here.app.notifier.health().unsettled === 0, 'decided again')
  t.match(here.app.notifier.trace({ id: 'a' }), [{ event: 'held' }])
})

test('incident: the secret of the tokens was replaced', async t => {
  const sign = (userId: string, secret: string) => createHmac('sha256', secret).update(userId).digest('hex')
  let secret = 'old'
  const registry = new Registry()
  const { app, log, notifications } = await startApp(t, {
    journal,
    metrics: registry,
    authenticate: async ({ headers: { authorization } }) => {
      const [userId, signature] = String(authorization).split(' ')
      if (sign(userId!, secret) !== signature) throw Object.assign(new Error('a secret detail'), { code: 'FAST_JWT_INVALID_SIGNATURE' })
      return userId!
    }
  })
  const headers = { authorization: `123 ${sign('123', secret)}` }
  const connected = await connectClient(t, notifications('123'), { headers })
  secret = 'new'
  t.match(await refusal(notifications('123'), { headers }), { statusCode: 401 })
  const { level, err } = await log.line('not authenticated')
  t.equal(level, 30)
  t.same(err, { type: 'FastifyError', code: 'FST_NOTIFICATION_UNAUTHENTICATED', statusCode: 401, message: 'not authenticated', cause: 'FAST_JWT_INVALID_SIGNATURE' }, 'without a stack')
  t.notMatch(JSON.stringify(log.lines), 'a secret detail')
  t.equal((await registry.getSingleMetricAsString('fastify_notification_refused_total')).match(/status="401",reason="unauthenticated"\} (\d+)/)?.[1], '1')
  t.match(app.notifier.health(), { state: 'no-broker', ready: true, lastError: undefined })
  t.match(await app.notifier.notify('123', 'hi'), { outcome: 'sent' })
  t.same(await connected.received(1), ['hi'], 'who is connected stays')
  t.same(app.notifier.trace({ userId: '123' }).map(({ event }) => event), ['connected', 'sent'], 'who is refused is nobody yet')
})
