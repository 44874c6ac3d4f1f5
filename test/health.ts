// What health() says: the state, since when, and why.
import { test } from 'tap'
import notificationPlugin from '../src/index.js'
import { createApp, startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { eventually } from './support/eventually.js'
import { startMeasured } from './support/measured.js'
import { startProxy } from './support/proxy.js'
import { usePrivateRedis } from './support/redis.js'
import { refuseDeadLetters } from './support/refuse-dead-letters.js'

const reconnect = { initialDelay: 20, maxDelay: 100 }

test('dead letters that are refused are a state, with its cause, a metric and a line that has the message', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await refuseDeadLetters(broker, queue)
  const { app, log, value } = await startMeasured(t, { amqpUrl: broker.url, queue, reconnect })
  t.match(app.notifier.health(), { state: 'consuming', lastError: undefined })
  t.equal(await value('dead_letters_failing'), 0)
  await broker.publishWith({ messageId: 'm' }, queue, 'no JSON')
  t.match(await log.line('dead letters cannot be published'), { level: 40, queue, id: 'm', deadLetterQueue: `${queue}.dead`, waiting: 1 })
  const { since } = app.notifier.health()
  t.match(app.notifier.health(), { state: 'dead-letters-failing', ready: true, unsettled: 1, lastError: { code: 'FST_NOTIFICATION_PUBLISH_FAILED', message: new RegExp(`'${queue}.dead'`) } })
  t.equal(await value('dead_letters_failing'), 1)
  t.equal(await value('state{state="dead-letters-failing"}'), 1)
  const first = app.notifier.health().lastError!.at.getTime()
  await eventually(() => app.notifier.health().lastError!.at.getTime() > first, 'it is tried again')
  t.same(app.notifier.health().since, since, 'the state began once')

  await broker.channel.deleteQueue(`${queue}.dead`)
  await log.line('dead letters can be published again')
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  const mended = app.notifier.health()
  t.match(mended, { state: 'consuming', lastError: undefined })
  t.ok(mended.since > since)
  t.equal(await value('dead_letters_failing'), 0)
})

test('a connection that is lost: since is when it was lost, lastError why, and neither is left when it is back', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const proxy = await startProxy(t, broker.url)
  const { app } = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, reconnect })
  const { since: before } = app.notifier.health()
  proxy.resetAfter(0)
  proxy.reset()
  await eventually(() => app.notifier.health().lastError !== undefined, 'lost')
  const lost = app.notifier.health()
  t.match(lost, { state: 'connecting', ready: false, lastError: { message: /./ } })
  t.ok(lost.since >= before)
  await eventually(() => app.notifier.health().lastError!.at > lost.lastError!.at, 'tried again')
  t.same(app.notifier.health().since, lost.since)
  proxy.resetAfter(undefined)
  await eventually(() => app.notifier.health().state === 'consuming', 'back')
  const back = app.notifier.health()
  t.equal(back.lastError, undefined)
  t.ok(back.since >= lost.since)
})

test('Redis that goes is logged and told when it goes, though nothing needs it', async t => {
  const redis = await usePrivateRedis(t)
  const { app, log, value } = await startMeasured(t, { offline: 'hold', hold: { redis: redis.url } })
  t.match(app.notifier.health(), { state: 'no-broker', lastError: undefined })
  await redis.stop()
  t.match(await log.line('hold failed'), { level: 40, err: { code: 'FST_NOTIFICATION_HOLD_FAILED' } })
  const { since } = app.notifier.health()
  t.match(app.notifier.health(), { state: 'hold-failing', lastError: { code: 'FST_NOTIFICATION_HOLD_FAILED', message: /not connected/ } })
  t.equal(await value('hold_failing'), 1)
  const first = app.notifier.health().lastError!.at.getTime()
  await eventually(() => app.notifier.health().lastError!.at.getTime() > first, 'tried again')
  t.same(app.notifier.health().since, since)
  t.equal(log.lines.filter(({ msg }) => msg === 'hold failed').length, 1)
  await redis.start()
  await log.line('hold works again')
  await eventually(() => app.notifier.health().state === 'no-broker', 'works')
  t.equal(app.notifier.health().lastError, undefined)
})

test('an address where no Redis is, and a wrong password, are logged at the start', async t => {
  const redis = await usePrivateRedis(t, { config: { requirepass: 'right' } })
  for (const url of ['redis://127.0.0.1:1', `redis://user:s3cret@127.0.0.1:${redis.port}`]) {
    const { app, log } = createApp(t)
    await app.register(notificationPlugin, { offline: 'hold', hold: { redis: url } })
    const line = log.lines.find(({ msg }) => msg === 'hold failed')
    t.match(line, { level: 40, err: { code: 'FST_NOTIFICATION_HOLD_FAILED' } }, url)
    t.notMatch(JSON.stringify(log.lines), 's3cret')
    t.match(app.notifier.health(), { state: 'hold-failing', lastError: { message: /redis:/ } })
    await app.close()
  }
})

test('a second consumer without cluster: true is told by both instances, and shown until it goes', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const start = () => startMeasured(t, { amqpUrl: broker.url, queue })
  const [one, two] = [await start(), await start()]
  for (const { app, log, reaches } of [one, two]) {
    t.match(await log.line('another consumer takes part of the messages, for users who may be connected here: set cluster: true on all instances'), { level: 40, queue, consumers: 1 })
    await reaches(`other_consumers{queue="${queue}"}`, 1)
    t.equal(app.notifier.health().otherConsumers, 1)
  }
  await two.app.close()
  await one.log.line('no other consumer takes part of the messages any more')
  await one.reaches(`other_consumers{queue="${queue}"}`, 0)
})

test('with cluster: true, other consumers are expected', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
  const { value } = await startMeasured(t, { amqpUrl: broker.url, queue, cluster: true })
  t.equal(await value(`other_consumers{queue="${queue}"}`), undefined)
})
