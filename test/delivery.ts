import { test } from 'tap'
import { startApp, warningsIn } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'

test('a message reaches every open socket of its user, and nobody else', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { notifications } = await startApp(t, { amqpUrl: broker.url, queue })
  const laptop = await connectClient(t, notifications('123'))
  const phone = await connectClient(t, notifications('123'))
  const other = await connectClient(t, notifications('456'))

  await broker.publish(queue, '{"userId":"123","content":"hello world"}', { userId: '456', content: 'not for 123' })

  t.same(await laptop.received(1), ['hello world'])
  t.same(await phone.received(1), ['hello world'])
  t.same(await other.received(1), ['not for 123'])
})

test('content that is not a string arrives as its JSON, any text as it is', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { notifications } = await startApp(t, { amqpUrl: broker.url, queue })
  const client = await connectClient(t, notifications('ünï-çødé 🙂'))
  const contents = [{ order: 7, items: ['a', null] }, [1, 2], 42, true, null, '', 'null', '<b>"quoted"</b>\n', '🙂'.repeat(5_000)]

  await broker.publish(queue, ...contents.map(content => ({ userId: 'ünï-çødé 🙂', content, somethingElse: 1 })))

  t.same(await client.received(contents.length), contents.map(content => typeof content === 'string' ? content : JSON.stringify(content)))
})

test('messages of one user arrive in the order in which they were published', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { notifications } = await startApp(t, { amqpUrl: broker.url, queue, prefetch: 50 })
  const clients = await Promise.all(['0', '1', '2'].map(userId => connectClient(t, notifications(userId))))

  await broker.publish(queue, ...Array.from({ length: 3_000 }, (_, n) => ({ userId: String(n % 3), content: n })))

  for (const [user, client] of clients.entries()) {
    t.same(await client.received(1_000), Array.from({ length: 1_000 }, (_, n) => String(n * 3 + user)))
  }
})

test('the queue is consumed whether or not anyone is connected', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, log, notifications } = await startApp(t, { amqpUrl: broker.url, queue })

  await broker.publish(queue, { userId: 'nobody', content: 'a secret', id: 'n-1' })
  const line = await log.line('user offline')
  t.match(line, { level: 20, userId: 'nobody', notificationId: 'n-1', policy: 'drop' }, 'logged at debug level')
  t.notMatch(JSON.stringify(log.lines), 'a secret', 'a content is never logged')
  t.match(app.notifier.stats(), { offline: 1, sent: 0 }, 'counted')

  const late = await connectClient(t, notifications('nobody'))
  await broker.publish(queue, { userId: 'nobody', content: 'second' })
  t.same(await late.received(1), ['second'])
  t.same(warningsIn(log), [], 'nothing of this is a warning or an error')
})

test('consuming starts with ready(), before the server listens', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app } = await startApp(t, { amqpUrl: broker.url, queue })
  t.match(app.notifier.health(), { state: 'consuming', ready: true, unsettled: 0 })
  t.equal((await broker.channel.checkQueue(queue)).consumerCount, 1)
})

test('connecting and disconnecting are logged at info level, with ids and without the query', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { log, at } = await startApp(t, { amqpUrl: broker.url, queue })
  const client = await connectClient(t, at('/notification?userId=123&ticket=hush'))
  const connected = await log.line('client connected')
  t.match(connected, { level: 30, userId: '123', connectionId: /^[0-9a-f]{24}$/, remoteAddress: '127.0.0.1' })

  await client.close()
  t.match(await log.line('client disconnected'), { level: 30, userId: '123', connectionId: connected.connectionId, code: 1005 })
  t.notMatch(JSON.stringify(log.lines), 'hush')
})
