import { readFile } from 'node:fs/promises'
import websocket from '@fastify/websocket'
import { test } from 'tap'
import notificationPlugin, { type Authenticate } from '../src/index.js'
import { createApp, listen, startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient, type TestClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { connectRich, type RichClient } from './support/rich-client.js'

/** Users and their groups as the query says. */
const authenticate: Authenticate = ({ query }) => {
  const { userId, groups } = query as { userId: string, groups?: string }
  return { userId, groups: groups?.split(',') }
}
const inGroups = (url: string, groups: string) => `${url}&groups=${groups}`

test('a message for several users reaches each of them once, and is settled when all have their outcome', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, settle: 'acknowledged', journal: 10 })
  const [a, b, other] = await Promise.all(['a', '7', 'other'].map(userId => connectRich(t, notifications(userId)))) as [RichClient, RichClient, RichClient]
  await broker.publish(queue, { userIds: ['a', 7, 'a', '7', 'gone'], content: { n: 1 }, id: 'x' })
  t.match(await a.framesReceived(1), [{ id: 'x', content: { n: 1 } }])
  t.match(await b.framesReceived(1), [{ id: 'x', content: { n: 1 } }])
  a.ack('x')
  await eventually(() => app.notifier.stats().acknowledged === 1, 'one has it')
  t.equal(app.notifier.health().unsettled, 1, 'the other one has not')
  b.ack('x')
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  t.match(app.notifier.stats(), { acknowledged: 2, offline: 1 })
  t.same(app.notifier.trace({ id: 'x' }).map(({ userId, event }) => [userId, event]), [['gone', 'offline'], ['a', 'acknowledged'], ['7', 'acknowledged']])
  const last = app.notifier.notify('other', 'last', { id: 'y' })
  t.match(await other.framesReceived(1), [{ content: 'last' }])
  other.ack('y')
  await last
  await app.close()
  t.equal((await broker.takeAll(queue)).length, 0)
})

test('of several users, one who is offline is dead-lettered alone: what is published again reaches nobody else', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, offline: 'dead-letter' })
  const here = await connectClient(t, notifications('here'))
  await broker.publishWith({ persistent: true, correlationId: 'c', headers: { mine: 1 } }, queue, { userIds: ['gone', 'here', 'away'], content: { n: 1 }, id: 'x' })
  t.same(await here.received(1), ['{"n":1}'])
  await eventually(() => app.notifier.stats().deadLettered.offline === 2, 'dead-lettered')
  const letters = await broker.takeAll(`${queue}.dead`)
  t.same(letters.map(({ content }) => JSON.parse(content.toString())), [{ userId: 'gone', content: { n: 1 }, id: 'x' }, { userId: 'away', content: { n: 1 }, id: 'x' }])
  t.match(letters[0]!.properties, { contentType: 'application/json', correlationId: 'c', headers: { mine: 1, 'x-notification-reason': 'offline', 'x-notification-queue': queue } })
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')

  const late = await connectClient(t, notifications('gone'))
  await broker.publish(queue, letters[0]!.content, { userId: 'here', content: 'last' })
  t.same(await late.received(1), ['{"n":1}'])
  t.same(await here.received(2), ['{"n":1}', 'last'])
})

test('of several users, one whose client can not handle it is dead-lettered alone', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, settle: 'acknowledged', maxDeliveries: 1 })
  const [a, b] = await Promise.all(['a', 'b'].map(userId => connectRich(t, notifications(userId)))) as [RichClient, RichClient]
  await broker.publish(queue, { userIds: ['a', 'b'], content: 'hi', id: 'x' })
  await Promise.all([a.framesReceived(1), b.framesReceived(1)])
  a.nack('x')
  await eventually(() => app.notifier.stats().deadLettered.rejected === 1, 'dead-lettered')
  b.ack('x')
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  t.match((await broker.takeAll(`${queue}.dead`)).map(({ content }) => JSON.parse(content.toString())), [{ userId: 'a', content: 'hi', id: 'x' }])
})

test('of a message to many, a user whose delivery fails unexpectedly is dead-lettered alone, and the others get it once', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app } = createApp(t)
  await app.register(websocket, { options: { perMessageDeflate: true } })
  await app.register(notificationPlugin, { amqpUrl: broker.url, queue })
  app.get('/broken', { websocket: true }, socket => {
    app.notifier.register('broken', socket)
    socket.send = () => { throw new RangeError('hush') }
  })
  const { notifications, at } = await listen(app)
  await connectClient(t, at('/broken'), { perMessageDeflate: true })
  const clients = await Promise.all(['a', 'b'].map(userId => connectClient(t, notifications(userId))))
  await eventually(() => app.notifier.size === 3, 'registered')
  await broker.publish(queue, { userIds: ['a', 'broken', 'b'], content: 'named', id: 'x' }, { everybody: true, content: 'all', id: 'y' })
  for (const client of clients) t.same(await client.received(2), ['named', 'all'])
  await eventually(() => app.notifier.stats().deadLettered['internal-error'] === 2, 'dead-lettered')
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  const letters = await broker.takeAll(`${queue}.dead`)
  t.same(letters.map(({ content }) => JSON.parse(content.toString())), [{ userId: 'broken', content: 'named', id: 'x' }, { userId: 'broken', content: 'all', id: 'y' }])
  t.match(letters[0]!.properties.headers, { 'x-notification-reason': 'internal-error', 'x-notification-detail': 'an unexpected error: RangeError' })
  for (const client of clients) t.equal(client.messages.length, 2)
})

test('several users are held for, each until they connect', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, offline: 'hold' })
  await broker.publish(queue, { userIds: ['a', 'b'], content: 'hi' })
  await eventually(() => app.notifier.stats().held === 2, 'held')
  for (const userId of ['a', 'b']) t.same(await (await connectClient(t, notifications(userId))).received(1), ['hi'])
})

test('a message that says wrongly whom it is for is dead-lettered, and the detail says what to give', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app } = await startApp(t, { amqpUrl: broker.url, queue })
  await broker.publish(queue, { userId: 'a', group: 'g', content: 'hush', id: 'x' })
  await eventually(() => app.notifier.stats().deadLettered['invalid-message'] === 1, 'dead-lettered')
  t.match((await broker.takeAll(`${queue}.dead`))[0]!.properties.headers, { 'x-notification-reason': 'invalid-message', 'x-notification-detail': 'userId and group are both given: give one' })
})

test('a message for a group reaches the connections that authenticate has put into it, and no others of their users', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, authenticate, offline: 'dead-letter', journal: 20 })
  const a = await connectClient(t, inGroups(notifications('a'), 'team:7,team:8'))
  const tab = await connectClient(t, notifications('a'))
  const b = await connectClient(t, inGroups(notifications('b'), 'team:7'))
  const c = await connectClient(t, inGroups(notifications('c'), 'team:8'))
  await broker.publish(queue, { group: 'team:7', content: 'seven' }, { group: 'team:8', except: ['c'], content: 'eight' }, { group: 'none', content: 'none' }, { everybody: true, content: 'all' }, { everybody: true, except: ['a', 'b'], content: 'c' })
  t.same(await a.received(3), ['seven', 'eight', 'all'])
  t.same(await tab.received(1), ['all'])
  t.same(await b.received(2), ['seven', 'all'])
  t.same(await c.received(2), ['all', 'c'])
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  t.match(app.notifier.stats(), { sent: 7, deadLettered: { offline: 0 } })
  const journal = ['a', 'b', 'c'].map(userId => app.notifier.trace({ userId }).filter(({ event }) => event === 'sent'))
  t.same(journal.map(({ length }) => length), [3, 2, 2], 'the journal has an entry for each user')
  t.match(journal[1]![0], { from: 'queue', queue, userId: 'b' })
})

test('a client can not join a group: neither by its query, nor by what it sends', async t => {
  const { app: { notifier }, notifications } = await startApp(t, {})
  const plain = await connectClient(t, inGroups(notifications('a'), 'g'))
  const rich = await connectRich(t, inGroups(notifications('b'), 'g'))
  for (const client of [plain, rich]) client.socket.send('{"type":"join","group":"g"}')
  t.match(await rich.framesReceived(1), [{ type: 'error', code: 'FST_NOTIFICATION_INVALID_FRAME' }])
  t.match(await notifier.notifyGroup('g', 'hush'), { users: 0, connections: 0 })
  await notifier.notify('a', 'last')
  t.same(await plain.received(1), ['last'])
})

test('notifyGroup() and broadcast() tell what became of them; join() and leave() change who gets it', async t => {
  const { app: { notifier }, notifications } = await startApp(t, { authenticate, limits: { groupsPerConnection: 2 } })
  const a = await connectClient(t, inGroups(notifications('a'), 'g'))
  const b = await connectClient(t, notifications('b'))
  t.match(await notifier.notifyGroup('g', 'one', { id: 'x' }), { id: 'x', users: 1, connections: 1, outcomes: { sent: 1 } })
  t.equal(await notifier.join('b', 'g'), 1)
  t.equal(await notifier.join('b', 'g'), 1)
  t.equal(await notifier.join('nobody', 'g'), 0)
  t.match(await notifier.notifyGroup('g', 'two'), { users: 2, connections: 2, outcomes: { sent: 2 } })
  t.match(await notifier.notifyGroup('g', 'three', { except: new Set(['a']) }), { users: 1, connections: 1 })
  t.match(await notifier.broadcast('four', { except: ['b'] }), { users: 1, connections: 1 })
  t.equal(await notifier.leave('b', 'g'), 1)
  t.match(await notifier.notifyGroup('g', 'five'), { users: 1 })
  t.same(await a.received(4), ['one', 'two', 'four', 'five'])
  t.same(await b.received(2), ['two', 'three'])

  await notifier.join('a', 'h')
  await t.rejects(notifier.join('a', 'i'), { code: 'FST_NOTIFICATION_TOO_MANY_GROUPS', message: /2 groups/ })
  t.match(await notifier.notifyGroup('i', 'nobody'), { users: 0, connections: 0, outcomes: {} })
  await a.close()
  await eventually(() => notifier.size === 1, 'gone')
  t.match(await notifier.notifyGroup('g', 'nobody'), { users: 0, connections: 0 })

  for (const group of ['', 7, undefined, 'a\n', '\ud800'] as string[]) {
    for (const call of [notifier.notifyGroup(group, 'x'), notifier.join('b', group), notifier.leave('b', group)]) await t.rejects(call as Promise<unknown>, { code: 'FST_NOTIFICATION_INVALID_GROUP' })
  }
  await t.rejects(notifier.join('', 'g'), { code: 'FST_NOTIFICATION_INVALID_USER_ID' })
  await t.rejects(notifier.notifyGroup('g', 'x', { except: 'abc' }), { code: 'FST_NOTIFICATION_INVALID_EXCEPT' })
  await t.rejects(notifier.broadcast('x', { except: [''] }), { code: 'FST_NOTIFICATION_INVALID_USER_ID' })
  await t.rejects(notifier.broadcast('x', { except: Array.from({ length: 1_001 }, (_, n) => `u${n}`) }), { code: 'FST_NOTIFICATION_INVALID_EXCEPT', message: /1001/ })
  await t.rejects(notifier.notifyGroup('g', undefined), { code: 'FST_NOTIFICATION_INVALID_CONTENT' })
})

test('members of a group acknowledge; one who leaves is not waited for, and nothing is kept for them', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, authenticate, settle: 'acknowledged', offline: 'hold' })
  const [a, b] = await Promise.all(['a', 'b'].map(userId => connectRich(t, inGroups(notifications(userId), 'g')))) as [RichClient, RichClient]
  const tab = await connectRich(t, notifications('b'))
  await broker.publish(queue, { group: 'g', content: 'hi', id: 'x' })
  await Promise.all([a.framesReceived(1), b.framesReceived(1)])
  a.ack('x')
  await eventually(() => app.notifier.stats().acknowledged === 1, 'acknowledged')
  t.equal(app.notifier.health().unsettled, 1)
  await b.close()
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  t.match(app.notifier.stats(), { acknowledged: 1, offline: 1, held: 0 })
  t.same(tab.frames, [], 'a connection that is not in the group')
})

test('a message for a group waits for room at its members, and for nobody who leaves the group', async t => {
  const { app: { notifier }, notifications } = await startApp(t, { authenticate, settle: 'acknowledged', maxUnacked: 1 })
  const [a, b] = await Promise.all(['a', 'b'].map(userId => connectRich(t, inGroups(notifications(userId), 'g')))) as [RichClient, RichClient]
  const first = notifier.notifyGroup('g', 'first', { id: '1' })
  const second = notifier.notifyGroup('g', 'second', { id: '2' })
  await a.framesReceived(1)
  a.ack('1')
  t.match((await a.framesReceived(2))[1], { content: 'second' })
  a.ack('2')
  await notifier.leave('b', 'g')
  t.match(await second, { users: 2, connections: 1, outcomes: { acknowledged: 1, offline: 1 } })
  b.ack('1')
  t.match(await first, { users: 2, connections: 2, outcomes: { acknowledged: 2 } })
})

test('while the application closes, a message for a group that is not acknowledged goes back to its queue', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, authenticate, settle: 'acknowledged', drainTimeout: 100 })
  const client = await connectRich(t, inGroups(notifications('a'), 'g'))
  await broker.publish(queue, { group: 'g', content: 'hi', id: 'x' })
  await client.framesReceived(1)
  await app.close()
  t.equal((await broker.takeAll(queue, 1)).length, 1)
})

test('a queue that is bound to the topic exchange of an existing system, and its messages mapped: the ten lines of the README', async t => {
  const broker = await useBroker(t)
  const amqpUrl = broker.url
  await broker.channel.deleteQueue('notifications')
  await broker.channel.assertExchange('shop', 'topic')
  t.teardown(async () => {
    await broker.channel.deleteExchange('shop')
    for (const queue of ['notifications', 'notifications.dead']) await broker.channel.deleteQueue(queue)
  })
  const { app } = createApp(t)
  await app.register(notificationPlugin, {
    amqpUrl,
    queue: { name: 'notifications', bindings: [{ exchange: 'shop', routingKey: 'order.#' }] },
    decode ({ json, routingKey }) {
      const { customer_id: userId, team: group, ...content } = json() as { customer_id: number, team: string }
      if (routingKey === 'order.shipped') return { userId, content }
      if (routingKey === 'order.delayed') return { group, content, except: [userId] }
      return undefined // for nobody here: acknowledged, and counted
    }
  })
  const { notifications } = await listen(app)
  const [a, b] = await Promise.all(['1', '2'].map(userId => connectClient(t, notifications(userId)))) as [TestClient, TestClient]
  for (const userId of ['1', '2']) await app.notifier.join(userId, 'support')
  for (const routingKey of ['order.created', 'order.shipped', 'order.delayed']) {
    broker.channel.publish('shop', routingKey, Buffer.from(JSON.stringify({ customer_id: 1, team: 'support', order: 7, routingKey })))
  }
  t.same(await a.received(1), ['{"order":7,"routingKey":"order.shipped"}'])
  t.same(await b.received(1), ['{"order":7,"routingKey":"order.delayed"}'])
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  t.match(app.notifier.stats(), { sent: 2, ignored: 1 })
  t.equal(a.messages.length, 1)

  const read = async (path: string) => await readFile(new URL(`../${path}`, import.meta.url), 'utf8')
  const [, example] = /```ts\n([^`]*exchange: 'shop'[^`]*)```/.exec(await read('README.md'))!
  const own = (await read('test/to-whom.ts')).split('\n').map(line => line.trim())
  const lines = example!.trim().split('\n')
  t.equal(lines.length, 10)
  for (const line of lines) t.ok(own.includes(line.trim()), line)
})
