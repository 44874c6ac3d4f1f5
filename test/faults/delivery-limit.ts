import { once } from 'node:events'
import { Registry } from 'prom-client'
import { test } from 'tap'
import { startPrivateRabbitMQ } from '../../support/private-rabbitmq.js'
import { startApp } from '../support/app.js'
import { connectTo, useBroker } from '../support/broker.js'
import { connectClient } from '../support/client.js'
import { eventually } from '../support/eventually.js'
import { startBroker } from '../support/private-broker.js'
import { startProxy } from '../support/proxy.js'
import { connectRich } from '../support/rich-client.js'
import { hasDefaultLimit, loseConnections, messages, returnOften, startWithoutHold } from '../support/unsettled.js'

const USERS = 50
const LOST = 100
const reconnect = { initialDelay: 10, maxDelay: 100 }
const quorum = (limit?: number) => ({ durable: true, arguments: { 'x-queue-type': 'quorum', ...(limit !== undefined && { 'x-delivery-limit': limit }) } })

test('fault 60: on a queue that the plugin created, 50 messages survive 100 lost connections while Redis is away, and all arrive', { timeout: 600_000 }, async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const own = await startWithoutHold(t, broker, { queue })
  const { app, notifications, mend } = own
  await broker.publish(queue, ...messages(USERS))
  await loseConnections(own, LOST, () => app.notifier.health().unsettled === USERS)
  await mend()
  await eventually(() => app.notifier.health().unsettled === 0, 'held')
  for (const { userId, content } of messages(USERS)) {
    t.same(await (await connectClient(t, notifications(userId))).received(1), [String(content)])
  }
  t.equal((await broker.takeAll(`${queue}.dead`)).length, 0)
})

for (const [name, limit] of [['the default limit', undefined], ['a limit of 20', 20], ['a limit of 2', 2]] as const) {
  test(`fault 60: on somebody else's queue with ${name}, 50 messages have arrived or are in the dead-letter queue after 100 lost connections`, { timeout: 600_000 }, async t => {
    const broker = await useBroker(t)
    const queue = broker.queueName()
    await broker.channel.assertQueue(queue, quorum(limit))
    const own = await startWithoutHold(t, broker, { queue })
    const { app, log, notifications, mend } = own
    const isLimited = limit !== undefined || hasDefaultLimit(broker)
    await broker.publish(queue, ...messages(USERS))
    await loseConnections(own, LOST, () => app.notifier.health().unsettled + app.notifier.stats().deadLettered['delivery-limit'] >= USERS)
    await mend()
    // Until the broker has noticed that the last connection is lost, nothing is unsettled, and nothing is in the queue.
    const settled = () => app.notifier.stats().held + app.notifier.stats().deadLettered['delivery-limit']
    await eventually(async () => settled() >= USERS && app.notifier.health().unsettled === 0 && (await broker.channel.checkQueue(queue)).messageCount === 0, 'nothing is left')

    const letters = await broker.takeAll(`${queue}.dead`)
    const inDeadLetters = new Set(letters.map(({ content }) => JSON.parse(content.toString()).content))
    t.equal(inDeadLetters.size, isLimited ? USERS : 0, 'moved where there is a limit')
    for (const { properties: { headers } } of letters) {
      t.match(headers, { 'x-notification-reason': 'delivery-limit', 'x-notification-detail': /^returned \d+ times, and the broker drops it beyond \d+$/ })
      t.notOk(headers?.['x-delivery-count'], 'none, or 0 by the broker')
    }
    t.equal(app.notifier.stats().held, isLimited ? 0 : USERS, 'what was moved is not held too')
    t.equal(log.lines.filter(({ msg }) => msg === 'messages come close to the delivery limit').length, isLimited ? 1 : 0, 'one warning')
    for (const { userId, content } of isLimited ? [] : messages(USERS)) {
      t.same(await (await connectClient(t, notifications(userId))).received(1), [String(content)])
    }
  })
}

test('fault 60: consumer time-outs lose nothing, neither on a queue of ours nor on one with a limit of 4', { timeout: 600_000 }, async t => {
  const node = await startPrivateRabbitMQ({ config: { consumer_timeout: '1000' } })
  t.teardown(() => node.remove())
  await node.ctl('eval', 'application:set_env(rabbit, channel_tick_interval, 200).') // how often channels look
  const broker = await connectTo(t, node.url)
  await broker.channel.assertQueue('limited', quorum(4))
  const { app, log, notifications, mend } = await startWithoutHold(t, broker, { queue: ['ours', 'limited'] })
  await broker.publish('ours', ...messages(USERS))
  await broker.publish('limited', { userId: 'other', content: 'moved, or held' })
  // The broker closes the channel; from 4.3 on it cancels the consumer, and does not count that.
  const timeouts = () => log.lines.filter(({ msg, err }) => msg === 'consumer cancelled by the broker' || /delivery acknowledgement/.test((err as Error | undefined)?.message ?? '')).length
  await eventually(() => timeouts() >= 25, 'timed out 25 times', 200_000)
  await mend()
  const { notifier } = app
  await eventually(() => notifier.stats().held + notifier.stats().deadLettered['delivery-limit'] > USERS, 'held, or moved')
  for (const { userId, content } of messages(USERS)) {
    t.same(await (await connectClient(t, notifications(userId))).received(1), [String(content)])
  }
  const letters = await broker.takeAll('ours.dead')
  if (letters.length === 0) t.same(await (await connectClient(t, notifications('other'))).received(1), ['moved, or held'])
  else t.match(letters, [{ properties: { headers: { 'x-notification-reason': 'delivery-limit', 'x-notification-queue': 'limited' } } }])
})

test('fault 60: a dead letter that is looked at 100 times, by get and requeue, is still there', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { log } = await startApp(t, { amqpUrl: broker.url, queue })
  await broker.publish(queue, 'nonsense')
  await log.line('message dead-lettered')
  for (let looks = 0; looks < 100; looks++) {
    await eventually(async () => {
      const letter = await broker.channel.get(`${queue}.dead`)
      if (letter === false) return false
      if (looks % 2 === 0) broker.channel.reject(letter, true)
      else broker.channel.nack(letter, false, true)
      return true
    }, `there at look ${looks}`)
  }
  await eventually(async () => (await broker.takeAll(`${queue}.dead`)).length === 1, 'still there')
})

test('fault 60: a dead-letter queue of an earlier version has the default limit: one warning names the policy', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(`${queue}.dead`, quorum())
  const proxy = await startProxy(t, broker.url)
  const { app, log } = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, reconnect })
  proxy.reset()
  await eventually(() => proxy.accepted >= 4 && app.notifier.health().ready, 'set up again')
  const warnings = log.lines.filter(({ msg }) => msg.startsWith('dead-letter queue has a delivery limit'))
  if (hasDefaultLimit(broker)) t.match(warnings, [{ level: 40, queue: `${queue}.dead`, deliveryLimit: 20, msg: /"delivery-limit": 2147483647/ }])
  t.equal(warnings.length, hasDefaultLimit(broker) ? 1 : 0)
})

test('fault 60: a user who is there gets what is near the limit; health and metrics show how near', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue, quorum(8))
  const proxy = await startProxy(t, broker.url)
  const metrics = new Registry()
  const own = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, reconnect, settle: 'acknowledged', ackTimeout: 600_000, metrics })
  const { app, log, notifications } = own
  const client = await connectRich(t, notifications('123'))
  await broker.publish(queue, { userId: '123', content: 'hi', id: 'm' })
  await client.framesReceived(1)
  t.equal(app.notifier.health().highestDeliveryCount, 0)

  await returnOften(proxy, own, 1)
  t.notOk(log.lines.some(({ msg }) => msg === 'messages come close to the delivery limit'))
  await returnOften(proxy, own, 5)
  t.match(await log.line('messages come close to the delivery limit'), { level: 40, queue, deliveryCount: 2, deliveryLimit: 8 }, 'at a quarter')
  const text = await metrics.metrics()
  t.match(text, `fastify_notification_highest_returns{queue="${queue}"} 6\n`)
  t.match(text, `fastify_notification_delivery_limit{queue="${queue}"} 8\n`)
  client.ack('m')
  await eventually(() => app.notifier.stats().acknowledged === 1, 'acknowledged')
  await eventually(() => app.notifier.health().highestDeliveryCount === 0, 'settled')
  await app.close()
  t.equal((await broker.takeAll(`${queue}.dead`)).length, 0)
})

test('fault 60: what its user does not acknowledge is moved near the limit, is found by trace(), and can be published again', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue, quorum())
  const proxy = await startProxy(t, broker.url)
  // By a policy, say, which no client can read.
  const own = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, reconnect, settle: 'acknowledged', ackTimeout: 600_000, deliveryLimit: 4, journal: 10 })
  const { app, log, notifications } = own
  const client = await connectRich(t, notifications('123'))
  await broker.publish(queue, { userId: '123', content: 'hi', id: 'm' })
  await client.framesReceived(1)
  await returnOften(proxy, own, 3)
  t.match(await log.line('message dead-lettered'), { level: 40, reason: 'delivery-limit' })
  await eventually(() => app.notifier.trace({ userId: '123', id: 'm' }).at(-1)?.event === 'dead-lettered', 'it is traced')
  t.match(app.notifier.trace({ userId: '123', id: 'm' }).at(-1), { event: 'dead-lettered', reason: 'delivery-limit', from: 'queue', queue })
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')

  const [letter] = await broker.takeAll(`${queue}.dead`)
  t.match(letter?.properties.headers, { 'x-notification-detail': 'returned 3 times, and the broker drops it beyond 4' })
  client.ack('m') // else what is published again joins the first one, which the client still has
  client.socket.ping()
  await once(client.socket, 'pong')
  const { length } = client.frames
  await broker.publishWith({ headers: { ...letter!.properties.headers, 'x-delivery-count': 500 } }, queue, letter!.content)
  await client.framesReceived(length + 1)
  client.ack('m')
  await eventually(async () => app.notifier.health().unsettled === 0 && app.notifier.stats().acknowledged >= 1, 'acknowledged')
  t.equal(app.notifier.stats().deadLettered['delivery-limit'], 1, 'a count that comes with the message is none of the broker\'s')
})

test('fault 60: what was moved while Redis was away is not held when it is back', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue, quorum(4))
  const own = await startWithoutHold(t, broker, { queue })
  const { log, proxy, notifications, mend } = own
  await broker.publish(queue, { userId: '123', content: 'moved' })
  await eventually(() => own.app.notifier.health().unsettled === 1, 'taken')
  await returnOften(proxy, own, 3)
  await log.line('message dead-lettered')
  await broker.publish(queue, { userId: '123', content: 'held' })
  await mend()
  const client = await connectClient(t, notifications('123'))
  t.same(await client.received(1), ['held'], 'else the older one would come first')
})

test('fault 60: while a memory alarm keeps messages from being moved, those near the limit are not taken and returned again', { timeout: 600_000 }, async t => {
  const node = await startBroker(t)
  const broker = await connectTo(t, node.url)
  await broker.channel.assertQueue('hello', quorum(8))
  const proxy = await startProxy(t, node.url)
  const own = await startApp(t, {
    amqpUrl: proxy.through(node.url), queue: 'hello', reconnect, settle: 'acknowledged', ackTimeout: 600_000, offline: 'dead-letter', connectTimeout: 60_000
  })
  const { app, log, notifications } = own
  const client = await connectRich(t, notifications('123'))
  await broker.publish('hello', { userId: '123', content: 'hi', id: 'm' })
  await client.framesReceived(1)
  await returnOften(proxy, own, 5)
  await node.ctl('set_vm_memory_high_watermark', '0.00001')
  app.notifier.notify('456', 'hi').catch(() => {}) // RabbitMQ tells of the alarm when something is published
  await log.line('broker publisher blocked')

  const consumerOf = async () => (await node.ctl('list_connections', 'pid', 'client_properties')).split('\n').find(line => line.includes('consumer of hello'))?.split('\t')[0]
  for (let times = 0; times < 5; times++) {
    const before = await consumerOf()
    proxy.reset('consumer')
    await eventually(async () => ![undefined, before].includes(await consumerOf()), 'connects again')
    await node.ctl('list_consumers') // takes so long that the message would be taken
  }
  await node.ctl('set_vm_memory_high_watermark', '0.6')
  await log.line('message dead-lettered')
  const letters = await broker.takeAll('hello.dead')
  t.equal(letters.filter(({ properties: { headers } }) => headers?.['x-notification-reason'] === 'delivery-limit').length, 1)
})

test('what expires in a queue that the plugin created is in the dead-letter queue', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app } = await startApp(t, { amqpUrl: broker.url, queue })
  await app.close()
  await broker.publishWith({ expiration: '1' }, queue, { userId: '123', content: 'too late' })
  await eventually(async () => {
    const [letter] = await broker.takeAll(`${queue}.dead`)
    return letter !== undefined && t.match(letter.properties.headers, { 'x-death': [{ reason: 'expired', queue }] })
  }, 'dead-lettered by the broker')
})
