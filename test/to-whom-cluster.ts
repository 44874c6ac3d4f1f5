import { test } from 'tap'
import type { Authenticate, NotificationPluginOptions } from '../src/index.js'
import { startApp, type TestApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { exchangeNews, startInstances } from './support/instances.js'
import { startProxy } from './support/proxy.js'
import { connectRich } from './support/rich-client.js'

const authenticate: Authenticate = ({ query }) => {
  const { userId, groups } = query as { userId: string, groups?: string }
  return { userId, groups: groups?.split(',') }
}
const member = ({ notifications }: TestApp, userId: string, groups: string) => `${notifications(userId)}&groups=${groups}`
const start = async (t: Parameters<typeof startInstances>[0], count: number, options: NotificationPluginOptions = {}) => await startInstances(t, count, { authenticate, ...options })

/** Resolves when a connection is welcomed: from then on it gets everything that any instance takes. */
const admitted = async ({ app }: TestApp, userId: string) => await eventually(() => app.notifier.connections(userId) > 0, 'welcomed')

test('a message for several users is settled when all have their outcome, on whichever instance they are', async t => {
  const { broker, queue, apps } = await start(t, 2, { settle: 'acknowledged' })
  const [one, two] = apps as [TestApp, TestApp]
  const a = await connectRich(t, one.notifications('a'))
  const b = await connectRich(t, two.notifications('b'))
  await broker.publish(queue, { userIds: ['a', 'b', 'gone'], content: 'hi', id: 'x' })
  await Promise.all([a.framesReceived(1), b.framesReceived(1)])
  a.ack('x')
  b.ack('x')
  await eventually(() => apps.reduce((sum, { app }) => sum + app.notifier.stats().acknowledged, 0) === 2, 'acknowledged')
  await eventually(() => apps.every(({ app }) => app.notifier.health().unsettled === 0), 'settled')
  t.equal(apps.reduce((sum, { app }) => sum + app.notifier.stats().offline, 0), 1)
})

test('a message for a group, or for everybody, reaches the members on all instances, and tells how many there were', async t => {
  const { broker, queue, apps } = await start(t, 3)
  const [one, two, three] = apps as [TestApp, TestApp, TestApp]
  const a = await connectClient(t, member(one, 'a', 'g'))
  const b = await connectClient(t, member(two, 'b', 'g,h'))
  const c = await connectClient(t, member(three, 'c', 'other'))
  for (const [app, userId] of [[one, 'a'], [two, 'b'], [three, 'c']] as const) await admitted(app, userId)
  t.match(await three.app.notifier.notifyGroup('g', 'one', { id: 'x' }), { id: 'x', users: 2, connections: 2, outcomes: { sent: 2 } })
  t.match(await one.app.notifier.notifyGroup('g', 'two', { except: ['a'] }), { users: 1, connections: 1, outcomes: { sent: 1 } })
  t.match(await two.app.notifier.notifyGroup('nobody', 'none'), { users: 0, connections: 0, outcomes: {} })
  await broker.publish(queue, { group: 'g', content: 'three' }, { everybody: true, except: ['c'], content: 'four' }, { everybody: true, content: 'five' })
  t.same((await a.received(4)).toSorted(), ['five', 'four', 'one', 'three'])
  t.same((await b.received(5)).toSorted(), ['five', 'four', 'one', 'three', 'two'])
  t.same(await c.received(1), ['five'])
  await eventually(() => apps.every(({ app }) => app.notifier.health().unsettled === 0), 'settled')
  await one.app.notifier.broadcast('six', { except: ['a', 'b'] })
  await one.app.notifier.broadcast('seven')
  t.same((await a.received(5)).slice(4), ['seven'])
  t.same((await b.received(6)).slice(5), ['seven'])
  t.same((await c.received(3)).slice(1), ['six', 'seven'])
})

test('a message for a group is settled when the members on other instances have acknowledged it, or have left', async t => {
  const { broker, queue, apps } = await start(t, 2, { settle: 'acknowledged', offline: 'dead-letter' })
  const [one, two] = apps as [TestApp, TestApp]
  const clients = await Promise.all([connectRich(t, member(one, 'a', 'g')), connectRich(t, member(two, 'b', 'g')), connectRich(t, member(two, 'c', 'g'))])
  await broker.publish(queue, { group: 'g', content: 'hi', id: 'x' })
  for (const client of clients) t.match(await client.framesReceived(1), [{ id: 'x', content: 'hi' }])
  clients[0]!.ack('x')
  clients[1]!.ack('x')
  await eventually(() => apps.reduce((sum, { app }) => sum + app.notifier.stats().acknowledged, 0) === 2, 'acknowledged')
  t.equal(apps.reduce((sum, { app }) => sum + app.notifier.health().unsettled, 0), 1)
  t.equal(apps.reduce((sum, { app }) => sum + app.notifier.health().waitingFor.peers, 0), 1, 'and it is known what for')
  await clients[2]!.close()
  await eventually(() => apps.every(({ app }) => app.notifier.health().unsettled === 0), 'settled')
  t.match(apps.map(({ app }) => app.notifier.stats().deadLettered.offline), [0, 0])
})

test('join() and leave() hold for the connections of a user on all instances', async t => {
  const { apps } = await start(t, 2)
  const [one, two] = apps as [TestApp, TestApp]
  const tabs = await Promise.all([connectClient(t, one.notifications('a')), connectClient(t, two.notifications('a'))])
  for (const app of apps) await admitted(app, 'a')
  t.equal(await one.app.notifier.join('a', 'g'), 1)
  await eventually(async () => (await one.app.notifier.notifyGroup('g', 'joined')).connections === 2, 'joined on both')
  for (const tab of tabs) t.match((await tab.received(1)).at(-1), 'joined')
  t.equal(await two.app.notifier.leave('a', 'g'), 1)
  await eventually(async () => (await two.app.notifier.notifyGroup('g', 'left')).users === 0, 'left on both')
})

test('notifyGroup() and broadcast() give their id to the connections on all instances', async t => {
  const { apps } = await start(t, 2)
  const [one, two] = apps as [TestApp, TestApp]
  const client = await connectRich(t, member(two, 'a', 'g'))
  await one.app.notifier.notifyGroup('g', 'to a group', { id: 'x' })
  await client.framesReceived(1)
  await one.app.notifier.broadcast('to everybody', { id: 'y' })
  t.match(await client.framesReceived(2), [{ id: 'x', content: 'to a group' }, { id: 'y', content: 'to everybody' }])
})

test('a group has its other members on an instance when one of them has left', async t => {
  const { apps } = await start(t, 2)
  const [one, two] = apps as [TestApp, TestApp]
  const [first, second] = [await connectRich(t, member(two, 'a', 'g')), await connectRich(t, member(two, 'b', 'g'))]
  await first.close()
  await eventually(() => two.app.notifier.size === 1, 'gone')
  await exchangeNews(t, two, one)
  t.match(await one.app.notifier.notifyGroup('g', 'hi'), { users: 1, connections: 1 })
  t.match(await second.framesReceived(1), [{ content: 'hi' }])
})

test('join() resolves when what other instances take reaches the connections here, and a connection is welcomed then', async t => {
  const broker = await useBroker(t)
  const proxy = await startProxy(t, broker.url)
  const options = { queue: broker.queueName(), cluster: true, authenticate, drainTimeout: 500 }
  t.teardown(() => broker.channel.deleteExchange(`${options.queue}.relay`))
  const one = await startApp(t, { ...options, amqpUrl: broker.url })
  const two = await startApp(t, { ...options, amqpUrl: proxy.through(broker.url) })
  const tab = await connectRich(t, two.notifications('a'))
  proxy.blackhole('publisher')
  const events: string[] = []
  const joined = two.app.notifier.join('a', 'g').then(count => events.push(`${count} joined`))
  const welcomed = connectRich(t, member(two, 'a', 'h')).then(client => {
    events.push('welcomed')
    return client
  })
  await eventually(() => two.log.lines.filter(({ msg }) => msg === 'client connected').length === 2, 'the other tab is connected')
  await two.app.notifier.notify('a', 'meanwhile').then(undefined, () => {})
  t.same([events, two.app.notifier.connections('a')], [[], 1])
  proxy.forward()
  await joined
  const other = await welcomed
  t.match(await one.app.notifier.notifyGroup('g', 'to g'), { users: 1, connections: 1 })
  t.match(await one.app.notifier.notifyGroup('h', 'to h'), { users: 1, connections: 1 })
  t.same((await tab.framesReceived(2)).map(({ content }) => content), ['meanwhile', 'to g'])
  t.match(await other.framesReceived(1), [{ content: 'to h' }])
})

test('a connection is in its groups on all instances from its welcome on', async t => {
  const { apps } = await start(t, 2)
  const [one, two] = apps as [TestApp, TestApp]
  for (let n = 0; n < 20; n++) {
    const client = await connectRich(t, member(two, `user ${n}`, `group ${n}`))
    t.match(await one.app.notifier.notifyGroup(`group ${n}`, 'hi'), { users: 1, connections: 1 })
    t.match(await client.framesReceived(1), [{ content: 'hi' }])
  }
})

test('a group that nobody is in any more is asked of no instance', async t => {
  const { apps } = await start(t, 2)
  const [one, two] = apps as [TestApp, TestApp]
  const client = await connectClient(t, member(two, 'a', 'g'))
  await admitted(two, 'a')
  t.match(await one.app.notifier.notifyGroup('g', 'hi'), { users: 1 })
  await client.close()
  await eventually(() => two.app.notifier.size === 0, 'gone')
  await exchangeNews(t, two, one)
  t.match(await one.app.notifier.notifyGroup('g', 'hi'), { users: 0, connections: 0 })
})

test('in a cluster, notifyGroup() ends in time while the broker is away', async t => {
  const broker = await useBroker(t)
  const proxy = await startProxy(t, broker.url)
  const options = { queue: broker.queueName(), cluster: true, publishTimeout: 2_000, drainTimeout: 500, authenticate }
  t.teardown(() => broker.channel.deleteExchange(`${options.queue}.relay`))
  const one = await startApp(t, { ...options, amqpUrl: proxy.through(broker.url) })
  const client = await connectClient(t, member(one, 'here', 'g'))
  await admitted(one, 'here')
  proxy.blackhole()
  await t.rejects(one.app.notifier.notifyGroup('g', 'hi'), { code: 'FST_NOTIFICATION_PUBLISH_TIMEOUT', statusCode: 503 })
  t.same(await client.received(1), ['hi'], 'the members here have it nevertheless')
  proxy.forward()
})

test('what one turn takes for a user, for a group and for everybody reaches a connection on another instance in this order', async t => {
  const { broker, queue, apps } = await start(t, 2)
  const [one, two] = apps as [TestApp, TestApp]
  const clients = await Promise.all([connectClient(t, member(one, 'a', 'g')), connectClient(t, member(two, 'a', 'g'))])
  for (const app of apps) await admitted(app, 'a')
  const recipients = [{ userId: 'a' }, { group: 'g' }, { userId: 'a' }, { everybody: true }, { userIds: ['a', 'nobody'] }]
  const contents = Array.from({ length: 300 }, (_, n) => String(n))
  await broker.publish(queue, ...contents.map((content, n) => ({ ...recipients[n % recipients.length], content })))
  for (const client of clients) t.same(await client.received(contents.length), contents)
})

test('a message for a group that is too large for another instance fails: the call by its error, a message into the dead-letter queue; it is counted', async t => {
  const { broker, queue, apps } = await start(t, 2, { limits: { messageBytes: 2 ** 24 } })
  const [one, two] = apps as [TestApp, TestApp]
  const clients = await Promise.all([connectClient(t, member(one, 'a', 'g')), connectClient(t, member(two, 'b', 'g'))])
  await admitted(one, 'a')
  await admitted(two, 'b')
  const content = '"'.repeat(5 * 2 ** 20) // four times as much as JSON within JSON
  await t.rejects(one.app.notifier.notifyGroup('g', content), { code: 'FST_NOTIFICATION_TOO_LARGE', statusCode: 413 })
  t.same(await clients[0]!.received(1), [content], 'the members here have it nevertheless')
  t.match(one.app.notifier.stats().unsent, { 'too-large': 1 })
  t.match(await one.log.line('other instances not told: the message is too large'), { level: 40, type: 'multicast' })

  const own = content.slice(0, 4.5 * 2 ** 20)
  await broker.publish(queue, { group: 'g', content: own, id: 'x' })
  const sum = (count: (app: TestApp) => number) => apps.reduce((sum, app) => sum + count(app), 0)
  await eventually(() => sum(({ app }) => app.notifier.stats().deadLettered['too-large']) === 1, 'dead-lettered')
  await eventually(() => sum(({ app }) => app.notifier.health().unsettled) === 0, 'settled')
  t.equal(sum(({ app }) => app.notifier.stats().unsent['too-large']), 2)
  const [letter] = await broker.takeAll(`${queue}.dead`)
  t.match(JSON.parse(letter!.content.toString()), { group: 'g', content: own, id: 'x' })
  t.match(letter!.properties.headers, { 'x-notification-reason': 'too-large', 'x-notification-detail': /too large for the other instances/ })

  await one.app.notifier.notifyGroup('g', 'next')
  t.equal((await clients[1]!.received(1)).at(-1), 'next')
  t.match(await one.log.line('other instances are told again'), { type: 'multicast', unsent: 2 })
})
