import { test } from 'tap'
import { startApp, warningsIn } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'

test("offline: 'drop' counts a notification for a user with no connection, and no more", async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app } = await startApp(t, { amqpUrl: broker.url, queue })
  await broker.publish(queue, { userId: 'nobody', content: 'x' })
  await eventually(() => app.notifier.stats().offline === 1, 'counted')
  t.match(await app.notifier.notify('nobody', 'x'), { outcome: 'offline', connections: 0 })
  t.match(app.notifier.stats(), { offline: 2, sent: 0, deadLettered: { offline: 0 } })
  await app.close()
  t.equal((await broker.channel.checkQueue(queue)).messageCount, 0)
  t.equal((await broker.channel.checkQueue(`${queue}.dead`)).messageCount, 0)
})

test("offline: 'dead-letter' keeps a notification in the dead-letter queue, from the queue and from notify() alike", async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, log, notifications } = await startApp(t, { amqpUrl: broker.url, queue, offline: 'dead-letter' })
  const client = await connectClient(t, notifications('here'))

  await broker.publish(queue, { userId: 'nobody', content: { n: 1 }, id: 'n-1', more: true }, { userId: 'here', content: 'hi' })
  t.same(await client.received(1), ['hi'])
  t.same(await app.notifier.notify('nobody', { n: 2 }, { id: 'n-2' }), { id: 'n-2', outcome: 'dead-lettered', connections: 0 })
  t.match(await app.notifier.notifyMany(['nobody', 'here'], 'three', { id: 'n-3' }), { users: 2, connections: 1, outcomes: { sent: 1, 'dead-lettered': 1 } })
  await eventually(() => app.notifier.stats().deadLettered.offline === 3, 'counted')

  const letters = await broker.takeAll(`${queue}.dead`)
  t.same(letters.map(({ content }) => JSON.parse(content.toString())), [
    { userId: 'nobody', content: { n: 1 }, id: 'n-1', more: true },
    { userId: 'nobody', content: { n: 2 }, id: 'n-2' },
    { userId: 'nobody', content: 'three', id: 'n-3' }
  ])
  for (const { properties } of letters) t.match(properties, { deliveryMode: 2, headers: { 'x-notification-reason': 'offline' } })
  t.same(warningsIn(log), [], 'nothing to be warned of')

  // What is in the dead-letter queue can be published again as it is.
  await broker.publish(queue, letters[1]!.content.toString().replace('nobody', 'here'))
  t.same(await client.received(3), ['hi', 'three', '{"n":2}'])
})
