import { connect } from 'amqplib'
import { test } from 'tap'
import notificationPlugin from '../../src/index.js'
import { createApp, startApp } from '../support/app.js'
import { connectTo, useBroker } from '../support/broker.js'
import { connectClient } from '../support/client.js'
import { eventually } from '../support/eventually.js'
import { startBroker } from '../support/private-broker.js'
import { startProxy } from '../support/proxy.js'
import { hasDefaultLimit, returnOften } from '../support/unsettled.js'

const reconnect = { initialDelay: 10, maxDelay: 100 }
const ofType = (type: string, more: object = {}) => ({ durable: true, arguments: { 'x-queue-type': type, ...more } })

test('fault 61: a stream is refused at start with a coded error that says what to do', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue, ofType('stream'))
  const { app } = createApp(t)
  await app.register(notificationPlugin, { amqpUrl: broker.url, queue })
  await t.rejects(async () => { await app.ready() }, {
    code: 'FST_NOTIFICATION_UNUSABLE_QUEUE', message: `the queue '${queue}' cannot be used: it is a stream, of which a consumer gets only what comes later: use a quorum queue or a classic queue`
  })
  t.equal(app.notifier.health().state, 'stopped')
})

test('fault 61: a stream is refused in the background until there is another queue in its place', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue, ofType('stream'))
  const { app, log, notifications } = await startApp(t, { amqpUrl: broker.url, queue, reconnect, startup: 'background' })
  t.match(await log.line('broker consumer cannot connect'), { level: 40, err: { code: 'FST_NOTIFICATION_UNUSABLE_QUEUE' } })
  t.match(app.notifier.health(), { state: 'connecting', ready: false, lastError: { code: 'FST_NOTIFICATION_UNUSABLE_QUEUE' } })
  await broker.channel.deleteQueue(queue)
  await broker.channel.assertQueue(queue, ofType('quorum'))
  await eventually(() => app.notifier.health().ready, 'ready')
  const client = await connectClient(t, notifications('123'))
  await broker.publish(queue, { userId: '123', content: 'hi' })
  t.same(await client.received(1), ['hi'])
})

test('fault 61: a user without the permission to configure gets messages all the same, but not from a stream', async t => {
  const node = await startBroker(t)
  const broker = await connectTo(t, node.url)
  await broker.channel.assertQueue('existing', ofType('quorum'))
  await broker.channel.assertQueue('existing.dead', ofType('quorum'))
  await broker.channel.assertQueue('log', ofType('stream'))
  await node.ctl('add_user', 'reader', 'secret')
  await node.ctl('set_permissions', 'reader', '^$', '.*', '.*')
  const proxy = await startProxy(t, `amqp://reader:secret@127.0.0.1:${node.port}`)
  const amqpUrl = `amqp://reader:secret@127.0.0.1:${proxy.port}`

  const own = await startApp(t, { amqpUrl, queue: 'existing', reconnect, settle: 'acknowledged', ackTimeout: 600_000 })
  const { app, log, notifications } = own
  const client = await connectClient(t, notifications('123'), {}, 'notification.v1')
  await broker.publish('existing', { userId: '123', content: 'hi' })
  await client.received(2)
  t.notOk(log.lines.some(({ msg }) => msg.startsWith('dead-letter queue has a delivery limit')), 'nothing is said of what is not known')
  if (hasDefaultLimit(broker)) {
    await returnOften(proxy, own, 5)
    t.match(await log.line('messages come close to the delivery limit'), { deliveryLimit: 20 }, 'the default is assumed')
  }
  await app.close()

  const refused = createApp(t)
  await refused.app.register(notificationPlugin, { amqpUrl, queue: 'log', deadLetterQueue: 'existing.dead' })
  await t.rejects(async () => { await refused.app.ready() }, { code: 'FST_NOTIFICATION_UNUSABLE_QUEUE', message: /it is a stream/ })
})

test('fault 61: a queue with so long a name that the broker cuts off what it says of it is used as it is', async t => {
  const broker = await useBroker(t)
  const queue = `${broker.queueName()}-${'x'.repeat(200)}`
  t.teardown(() => broker.channel.deleteQueue(queue))
  await broker.channel.assertQueue(queue, ofType('quorum', { 'x-max-length': 10 }))
  const { notifications } = await startApp(t, { amqpUrl: broker.url, queue, deadLetterQueue: broker.queueName() })
  const client = await connectClient(t, notifications('123'))
  await broker.publish(queue, { userId: '123', content: 'hi' })
  t.same(await client.received(1), ['hi'])
})

test('fault 61: a queue that is exclusive to another connection is refused with a coded error', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const owner = await connect(broker.url)
  t.teardown(() => owner.close())
  await (await owner.createChannel()).assertQueue(queue, { exclusive: true, durable: false })
  const { app } = createApp(t)
  await app.register(notificationPlugin, { amqpUrl: broker.url, queue })
  await t.rejects(async () => { await app.ready() }, {
    code: 'FST_NOTIFICATION_UNUSABLE_QUEUE', message: `the queue '${queue}' cannot be used: it is exclusive to another connection: use a queue that is not exclusive`
  })
})

test('fault 61: a queue that may lose messages by itself is used, and one warning says how', async t => {
  const broker = await useBroker(t)
  const declarations = {
    transient: [{ durable: false, autoDelete: true }, ['not durable: gone with the broker', 'auto-delete: gone with its last consumer']],
    bounded: [ofType('quorum', { 'x-max-length': 10, 'x-expires': 3_600_000 }), ['x-expires: gone when it is not used', 'a length limit that drops the oldest']],
    'with a time to live': [ofType('classic', { 'x-message-ttl': 60_000 }), ['x-message-ttl without x-dead-letter-exchange']],
    safe: [ofType('quorum', { 'x-max-length': 10, 'x-overflow': 'reject-publish', 'x-message-ttl': 60_000, 'x-dead-letter-exchange': 'amq.fanout' }), undefined]
  } as const
  for (const [name, [declaration, risks]] of Object.entries(declarations)) {
    const queue = broker.queueName()
    // Kept by the one that declares it.
    await broker.channel.assertQueue(queue, declaration)
    const { consumerTag } = await broker.channel.consume(queue, () => {})
    const proxy = await startProxy(t, broker.url)
    const { app, log } = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, reconnect, cluster: true })
    const { accepted } = proxy
    proxy.reset('consumer')
    await eventually(() => proxy.accepted > accepted && app.notifier.health().ready, 'set up again')
    t.match(log.lines.filter(({ msg }) => msg === 'queue may lose messages before they are consumed'), risks === undefined ? [] : [{ level: 40, queue, risks }], name)
    t.equal(log.lines.filter(({ msg }) => msg === 'queue may lose messages before they are consumed').length, risks === undefined ? 0 : 1, 'one warning')
    await app.close()
    await broker.channel.cancel(consumerTag)
  }
})

test('fault 62: a queue that is gone is created anew, and one warning says that its bindings and arguments are gone', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue, { durable: true, autoDelete: true, arguments: { 'x-max-priority': 3 } })
  const proxy = await startProxy(t, broker.url)
  const { app, log } = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, reconnect })
  const warnings = () => log.lines.filter(({ msg }) => msg === 'queue created anew: its bindings and arguments are gone')
  t.same(warnings(), [])
  const isGone = async () => {
    const { channel } = await connectTo(t, broker.url)
    channel.on('error', () => {})
    return await channel.checkQueue(queue).then(() => false, () => true)
  }
  const { accepted } = proxy
  proxy.holdAfter(0) // else it may be consumed again before the broker has noticed
  proxy.reset('consumer') // with its last consumer the queue goes too
  await eventually(isGone, 'gone')
  proxy.forward()
  await eventually(() => proxy.accepted > accepted && app.notifier.health().ready, 'ready again')
  await eventually(() => warnings().length === 1, 'warned')
  t.match(warnings(), [{ level: 40, queue }])

  await broker.channel.deleteQueue(`${queue}.dead`)
  await broker.publish(queue, 'nonsense')
  await log.line('message dead-lettered')
  t.match(warnings()[1], { level: 40, queue: `${queue}.dead` })
})

for (const type of ['quorum', 'classic']) {
  test(`fault 68: of two consumers of a ${type} queue with a single active consumer the second is on standby, and takes over`, { timeout: 400_000 }, async t => {
    const broker = await useBroker(t)
    const queue = broker.queueName()
    await broker.channel.assertQueue(queue, ofType(type, { 'x-single-active-consumer': true }))
    const first = await startApp(t, { amqpUrl: broker.url, queue, reconnect })
    t.equal(first.app.notifier.health().state, 'consuming')
    const second = await startApp(t, { amqpUrl: broker.url, queue, reconnect })
    const third = await startApp(t, { amqpUrl: broker.url, queue, reconnect })
    for (const { app, log } of [second, third]) {
      t.match(app.notifier.health(), { state: 'standby', ready: true })
      t.notOk(log.lines.some(({ msg }) => msg.startsWith('another consumer takes part')), 'that one takes all, as it is meant to')
    }

    for (const { app, log } of [second, third]) {
      await log.line('consumer still on standby')
      t.equal(app.notifier.health().state, 'standby')
    }

    await first.app.close()
    await broker.publish(queue, { userId: '123', content: 'hi' })
    await eventually(() => [second, third].some(({ app }) => app.notifier.stats().offline === 1), 'consumed')
    const [active, idle] = second.app.notifier.stats().offline === 1 ? [second, third] : [third, second]
    t.match(active.app.notifier.health(), { state: 'consuming', ready: true })
    t.equal(idle.app.notifier.health().state, 'standby')
    await active.app.close()
    await idle.log.line('consumer active') // without any message: it is the only one
    t.match(idle.app.notifier.health(), { state: 'consuming', ready: true })
    await broker.publish(queue, { userId: '123', content: 'hi' })
    await eventually(() => idle.app.notifier.stats().offline === 1, 'consumed')
  })
}
