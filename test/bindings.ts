import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { test, type Test } from 'tap'
import notificationPlugin, { type NotificationPluginOptions } from '../src/index.js'
import { createApp, listen, startApp } from './support/app.js'
import { useBroker, type TestBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'

/** An exchange that is deleted after the test. */
async function createExchange (t: Test, { channel }: TestBroker, type: string): Promise<string> {
  const exchange = `test-${randomUUID()}`
  await channel.assertExchange(exchange, type)
  t.teardown(() => channel.deleteExchange(exchange).catch(() => {}))
  return exchange
}

/** What the application does not start with. */
async function startError (t: Test, options: NotificationPluginOptions): Promise<Error | undefined> {
  const { app } = createApp(t)
  await app.register(notificationPlugin, { reconnect: { initialDelay: 1, maxDelay: 1 }, ...options })
  return await app.ready().then(() => undefined, (error: Error) => error)
}

const publishVia = async ({ channel }: TestBroker, exchange: string, routingKey: string, content: unknown, headers = {}) => {
  channel.publish(exchange, routingKey, Buffer.from(JSON.stringify({ userId: '123', content })), { headers })
  await channel.waitForConfirms()
}

test('queues are bound to exchanges of an existing system, by routing keys and by headers', async t => {
  const broker = await useBroker(t)
  const [topic, headers] = [await createExchange(t, broker, 'topic'), await createExchange(t, broker, 'headers')]
  const [first, second, third] = [broker.queueName(), broker.queueName(), broker.queueName()]
  const { notifications } = await startApp(t, {
    amqpUrl: broker.url,
    queue: [
      { name: first, bindings: [{ exchange: topic, routingKey: 'order.*' }, { exchange: topic, routingKey: 'chat.#' }] },
      { name: second, bindings: [{ exchange: headers, arguments: { 'x-match': 'all', kind: 'alert' } }] },
      third
    ]
  })
  const client = await connectClient(t, notifications('123'))
  await publishVia(broker, topic, 'order.paid.late', 'not this')
  await publishVia(broker, topic, 'order.paid', 1)
  await publishVia(broker, topic, 'chat.a.b', 2)
  await publishVia(broker, headers, '', 'not this', { kind: 'other' })
  await publishVia(broker, headers, '', 3, { kind: 'alert' })
  await publishVia(broker, '', third, 4)
  t.same((await client.received(4)).toSorted(), ['1', '2', '3', '4'])
})

test('bindings are set again with a queue that was deleted', async t => {
  const broker = await useBroker(t)
  const exchange = await createExchange(t, broker, 'fanout')
  const name = broker.queueName()
  const { app, log, notifications } = await startApp(t, { amqpUrl: broker.url, queue: { name, bindings: [{ exchange }] }, reconnect: { initialDelay: 1 } })
  const client = await connectClient(t, notifications('123'))
  await broker.channel.deleteQueue(name)
  await log.line('consumer cancelled by the broker')
  await eventually(() => app.notifier.health().ready, 'ready again')
  await publishVia(broker, exchange, '', 'hi')
  t.same(await client.received(1), ['hi'])
})

test('a binding to an exchange that does not exist fails the start, with an error that names it', async t => {
  const broker = await useBroker(t)
  const name = broker.queueName()
  const error = await startError(t, { amqpUrl: broker.url, queue: { name, bindings: [{ exchange: 'amq.topic' }, { exchange: 'no-such-exchange', routingKey: '#' }] } })
  t.match(error, { code: 'FST_NOTIFICATION_MISSING_EXCHANGE', message: `there is no exchange 'no-such-exchange' to bind the queue '${name}' to: create it first, or correct the option queue` })
})

test('with startup: background the queue is consumed once the missing exchange is there', async t => {
  const broker = await useBroker(t)
  const name = broker.queueName()
  const exchange = `test-${randomUUID()}`
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue: { name, bindings: [{ exchange }] }, startup: 'background', reconnect: { initialDelay: 1, maxDelay: 20 } })
  const client = await connectClient(t, notifications('123'))
  await eventually(() => app.notifier.health().lastError?.code === 'FST_NOTIFICATION_MISSING_EXCHANGE', 'missing')
  await broker.channel.assertExchange(exchange, 'fanout')
  t.teardown(() => broker.channel.deleteExchange(exchange))
  await eventually(() => app.notifier.health().ready, 'ready')
  await publishVia(broker, exchange, '', 'hi')
  t.same(await client.received(1), ['hi'])
})

test('a binding that the broker does not accept fails the start, with what the broker says', async t => {
  const broker = await useBroker(t)
  const name = broker.queueName()
  const exchange = await createExchange(t, broker, 'headers')
  const error = await startError(t, { amqpUrl: broker.url, queue: { name, bindings: [{ exchange, arguments: { 'x-match': 'some' } }] } })
  t.match(error, { code: 'FST_NOTIFICATION_UNUSABLE_QUEUE', message: /does not bind it to the exchange .*x-match/ })
})

test('a queue is created with the arguments of the option, and those of the plugin that fit', async t => {
  const broker = await useBroker(t)
  const [classic, quorum] = [broker.queueName(), broker.queueName()]
  await startApp(t, {
    amqpUrl: broker.url,
    queue: [
      { name: classic, arguments: { 'x-queue-type': 'classic', 'x-max-priority': 3 } },
      { name: quorum, arguments: { 'x-single-active-consumer': true } }
    ]
  })
  const deadLettering = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': `${classic}.dead` }
  // Declaring what exists succeeds only with the same arguments.
  await t.resolves(broker.channel.assertQueue(classic, { durable: true, arguments: { 'x-queue-type': 'classic', 'x-max-priority': 3, ...deadLettering } }))
  await t.resolves(broker.channel.assertQueue(quorum, {
    durable: true,
    arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 2_147_483_647, 'x-single-active-consumer': true, ...deadLettering, 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish' }
  }))
})

test('a queue that exists without an argument of the option fails the start, and one that has it is used', async t => {
  const broker = await useBroker(t)
  const name = broker.queueName()
  await broker.channel.assertQueue(name, { durable: true, arguments: { 'x-max-length': 5, 'x-overflow': 'reject-publish' } })
  for (const [given, says] of [
    [{ 'x-max-length': 7 }, 'it exists with x-max-length 5, and the option queue says 7: change the option, or delete the queue'],
    [{ 'x-max-priority': 3 }, 'it exists with x-max-priority left out, and the option queue says 3: change the option, or delete the queue'],
    [{ 'x-queue-type': 'quorum' }, 'it exists with x-queue-type classic, and the option queue says quorum: change the option, or delete the queue']
  ] as const) {
    const error = await startError(t, { amqpUrl: broker.url, queue: { name, arguments: given as never } })
    t.match(error, { code: 'FST_NOTIFICATION_UNUSABLE_QUEUE', message: `the queue '${name}' cannot be used: ${says}` })
  }
  const { app } = await startApp(t, { amqpUrl: broker.url, queue: { name, arguments: { 'x-max-length': 5, 'x-queue-type': 'classic' } } })
  t.ok(app.notifier.health().ready)
})

test('arguments that the broker does not accept fail the start, with what the broker says', async t => {
  const broker = await useBroker(t)
  const name = broker.queueName()
  const error = await startError(t, { amqpUrl: broker.url, queue: { name, arguments: { 'x-max-length': -1 } } })
  t.match(error, { code: 'FST_NOTIFICATION_UNUSABLE_QUEUE', message: /does not create it: .*x-max-length/ })
})

test('the example of the page of messages maps the messages of a topic exchange', async t => {
  const { url: amqpUrl, channel } = await useBroker(t)
  const { app, log } = createApp(t)
  await channel.assertExchange('shop', 'topic')
  t.teardown(async () => {
    for (const queue of ['notifications', 'notifications.dead']) await channel.deleteQueue(queue)
    await channel.deleteExchange('shop')
  })
  await app.register(notificationPlugin, {
    amqpUrl,
    queue: { name: 'notifications', bindings: [{ exchange: 'shop', routingKey: 'order.*' }] },
    decode ({ json, routingKey }) {
      if (routingKey !== 'order.shipped') return undefined // not for a user
      const { customer_id: userId, ...content } = json() as { customer_id: number }
      return { userId, content }
    }
  })
  const { notifications } = await listen(app)
  const client = await connectClient(t, notifications('7'))
  const order = Buffer.from('{"customer_id":7,"order":12}')
  channel.publish('shop', 'order.paid', order)
  channel.publish('shop', 'order.shipped', order)
  t.same(await client.received(1), ['{"order":12}'])
  t.match(app.notifier.stats(), { ignored: 1, sent: 1 })
  t.notOk(log.lines.some(({ msg }) => msg === 'message dead-lettered'))

  const read = async (path: string) => await readFile(new URL(`../${path}`, import.meta.url), 'utf8')
  const [, example] = /```ts\n([^`]*exchange: 'shop'[^`]*)```/.exec(await read('docs/messages.md'))!
  const own = (await read('test/bindings.ts')).split('\n').map(line => line.trim())
  for (const line of example!.trim().split('\n')) t.ok(own.includes(line.trim()), line)
})
