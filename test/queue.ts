import { test } from 'tap'
import notificationPlugin from '../src/index.js'
import { createApp, startApp } from './support/app.js'
import { connectTo, useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'

test('a queue that does not exist is created as a durable quorum queue without a delivery limit that dead-letters; the dead-letter queue does not', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await startApp(t, { amqpUrl: broker.url, queue })
  const own = { 'x-queue-type': 'quorum', 'x-delivery-limit': 2_147_483_647 }
  const deadLettering = {
    'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': `${queue}.dead`, 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish'
  }
  // Declaring what exists succeeds only with the same arguments.
  await t.resolves(broker.channel.assertQueue(queue, { durable: true, arguments: { ...own, ...deadLettering } }))
  await t.resolves(broker.channel.assertQueue(`${queue}.dead`, { durable: true, arguments: own }))
})

test('a publisher may publish, check the queue and declare its exchanges; one that asserts the queue otherwise gets a 406, and disturbs nobody else', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, log, notifications } = await startApp(t, { amqpUrl: broker.url, queue })
  const client = await connectClient(t, notifications('123'))
  await t.resolves(broker.channel.checkQueue(queue))
  await broker.channel.assertExchange(queue, 'fanout', { autoDelete: true })
  await broker.channel.bindQueue(queue, queue, '')
  broker.channel.publish(queue, '', Buffer.from('{"userId":"123","content":"by an exchange"}'))
  t.same(await client.received(1), ['by an exchange'])
  for (const declaration of [{ durable: true }, { durable: false }, { durable: true, arguments: { 'x-queue-type': 'quorum' } }]) {
    const publisher = await connectTo(t, broker.url)
    publisher.channel.on('error', () => {})
    await t.rejects(publisher.channel.assertQueue(queue, declaration), { code: 406, message: /PRECONDITION_FAILED/ })
  }
  await broker.publish(queue, { userId: '123', content: 'by the default exchange' })
  t.same((await client.received(2)).at(-1), 'by the default exchange')
  t.equal(app.notifier.health().ready, true)
  t.equal(log.lines.filter(({ msg }) => msg === 'broker consumer connecting').length, 1, 'no connection was lost')
})

test('a queue that has an exclusive consumer fails the start with words that say so', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue)
  await broker.channel.consume(queue, () => {}, { exclusive: true })
  const { app } = createApp(t)
  await app.register(notificationPlugin, { amqpUrl: broker.url, queue })
  await t.rejects(async () => { await app.ready() }, {
    code: 'FST_NOTIFICATION_BROKER_REFUSED', message: `refused: the queue '${queue}' has an exclusive consumer: stop that one, or let it consume without 'exclusive'`
  })
})

const existing = {
  'a transient classic queue': { durable: false },
  'a queue with a time to live': { durable: true, messageTtl: 60_000 },
  'a queue with a length limit': { durable: true, maxLength: 100, overflow: 'reject-publish' },
  'a queue with priorities': { durable: true, maxPriority: 3 },
  'a queue with a dead-letter exchange of its own': { durable: true, deadLetterExchange: 'amq.fanout' },
  'a lazy queue': { durable: true, arguments: { 'x-queue-mode': 'lazy' } },
  'a quorum queue with a delivery limit': { durable: true, arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 5 } },
  'a queue with a single active consumer': { durable: true, arguments: { 'x-single-active-consumer': true } }
}

for (const [name, declaration] of Object.entries(existing)) {
  test(`fault 9: ${name} is used as it is`, async t => {
    const broker = await useBroker(t)
    const queue = broker.queueName()
    await broker.channel.assertQueue(queue, declaration)
    await broker.channel.assertQueue(`${queue}.dead`, declaration)
    const { log, notifications } = await startApp(t, { amqpUrl: broker.url, queue })
    const client = await connectClient(t, notifications('123'))

    await broker.publish(queue, { userId: '123', content: 'hi' }, 'nonsense')
    t.same(await client.received(1), ['hi'])
    await log.line('message dead-lettered')
    await t.resolves(broker.channel.assertQueue(queue, declaration), 'still the same')
    t.equal((await broker.takeAll(`${queue}.dead`)).length, 1)
  })
}
