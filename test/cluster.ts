import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import { startApp, type TestApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { connectTo, numbers, startInstances } from './support/instances.js'
import { startProxy } from './support/proxy.js'
import { connectRich } from './support/rich-client.js'

test('a user gets each message once, on whichever instance they are', async t => {
  const { broker, queue, apps } = await startInstances(t, 3)
  const users = ['a', 'b', 'c', 'd'] // another number than of instances, between which RabbitMQ takes turns
  const clients = await Promise.all(users.map((userId, n) => connectTo(t, apps[n % 3]!, userId)))
  const contents = numbers(300)
  for (const content of contents) await broker.publish(queue, ...users.map(userId => ({ userId, content })))
  for (const client of clients) t.same((await client.received(300)).toSorted((a, b) => Number(a) - Number(b)), contents)
  await eventually(() => apps.every(({ app }) => app.notifier.health().unsettled === 0), 'all settled')
  const stats = apps.map(({ app }) => app.notifier.stats())
  t.equal(stats.reduce((sum, { sent }) => sum + sent, 0), 1_200)
  t.ok(stats.reduce((sum, { relayed }) => sum + relayed, 0) > 0, 'some were taken by another instance')
})

test('relays keep the order of a user, however fast they come', async t => {
  const { apps: [one, two] } = await startInstances(t, 2)
  const client = await connectTo(t, two!, '123')
  const contents = numbers(1_000)
  const results = await Promise.all(contents.map(content => one!.app.notifier.notify('123', content)))
  t.same(await client.received(1_000), contents)
  for (const { outcome, connections } of results) t.same({ outcome, connections }, { outcome: 'sent', connections: 1 })
})

test('tabs on several instances get a notification, each once', async t => {
  const { broker, queue, apps } = await startInstances(t, 3)
  const tabs = [await connectTo(t, apps[0]!, '123'), await connectTo(t, apps[0]!, '123'), await connectTo(t, apps[1]!, '123')]
  await broker.publish(queue, { userId: '123', content: 'from the queue' })
  for (const tab of tabs) await tab.received(1)
  for (const [n, { app }] of apps.entries()) await app.notifier.notify('123', `from ${n}`)
  for (const tab of tabs) t.same((await tab.received(4)).toSorted(), ['from 0', 'from 1', 'from 2', 'from the queue'])
})

test('a user without a connection on any instance is offline', async t => {
  const { apps: [one, two] } = await startInstances(t, 2)
  t.match(await one!.app.notifier.notify('123', 'hi'), { outcome: 'offline', connections: 0 })
  t.equal(await one!.app.notifier.isOnline('123'), false)
  const client = await connectTo(t, two!, '123')
  t.match(await one!.app.notifier.notify('123', 'hi'), { outcome: 'sent', connections: 1 })
  t.equal(await one!.app.notifier.isOnline('123'), true)
  t.equal(await two!.app.notifier.isOnline('123'), true)
  await client.close()
  await eventually(() => two!.app.notifier.size === 0, 'gone')
  t.match(await one!.app.notifier.notify('123', 'hi'), { outcome: 'offline', connections: 0 })
  t.equal(await one!.app.notifier.isOnline('123'), false)
  const back = await connectTo(t, two!, '123')
  t.match(await one!.app.notifier.notify('123', 'back'), { outcome: 'sent', connections: 1 })
  t.same(await back.received(1), ['back'])
  await t.rejects(one!.app.notifier.isOnline(''), { code: 'FST_NOTIFICATION_INVALID_USER_ID' })
})

test('the welcome comes first, though a connection is pinged while it waits for the welcome', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
  const { notifications } = await startApp(t, { amqpUrl: broker.url, queue, cluster: true, heartbeat: { interval: 100, timeout: 90 } })
  const client = await connectClient(t, notifications('123'), {}, 'notification.v1') // the instance looks for others for 200 ms
  t.same((await client.received(2)).map(text => JSON.parse(text).type), ['welcome', 'ping'])
})

test('a user who moves to another instance is found there at once', async t => {
  const { apps: [one, two, three] } = await startInstances(t, 3)
  const first = await connectTo(t, two!, '123')
  await first.close()
  await eventually(() => two!.app.notifier.size === 0, 'gone')
  const second = await connectTo(t, three!, '123')
  t.match(await one!.app.notifier.notify('123', 'hi'), { outcome: 'sent', connections: 1 })
  t.match(await two!.app.notifier.notify('123', 'hi again'), { outcome: 'sent', connections: 1 })
  t.same(await second.received(2), ['hi', 'hi again'])
})

test('notifyMany(), broadcast() and disconnect() reach every instance', async t => {
  const { apps } = await startInstances(t, 2)
  const [one, two] = apps as [TestApp, TestApp]
  const a = await connectTo(t, one, 'a')
  const b = await connectTo(t, two, 'b')
  t.match(await one.app.notifier.notifyMany(['a', 'b', 'c'], 'many'), { users: 3, connections: 2, outcomes: { sent: 2, offline: 1 } })
  t.match(await one.app.notifier.broadcast('all'), { users: 1, connections: 1 })
  for (const client of [a, b]) t.same(await client.received(2), ['many', 'all'])
  t.equal(one.app.notifier.disconnect('b', 4502, 'bye'), 0)
  t.same(await b.closed, { code: 4502, reason: 'bye' })
  t.equal(one.app.notifier.disconnect('a'), 1)
})

test('disconnect() of what is no user id keeps no other from being disconnected', async t => {
  const { apps: [one, two] } = await startInstances(t, 2, { reconnect: { initialDelay: 60_000, maxDelay: 600_000 } })
  const client = await connectTo(t, two!, 'a')
  for (const userId of ['x'.repeat(1_000), '', '\ud800']) t.equal(one!.app.notifier.disconnect(userId), 0)
  one!.app.notifier.disconnect('a')
  t.match(await client.closed, { code: 4502 })
})

test('disconnect() and broadcast() reach the other instances when the broker is back', async t => {
  const broker = await useBroker(t)
  const proxy = await startProxy(t, broker.url)
  const options = { queue: broker.queueName(), cluster: true }
  t.teardown(() => broker.channel.deleteExchange(`${options.queue}.relay`))
  const one = await startApp(t, { ...options, amqpUrl: proxy.through(broker.url) })
  const two = await startApp(t, { ...options, amqpUrl: broker.url })
  const clients = [await connectTo(t, two, 'a'), await connectTo(t, two, 'b')]
  proxy.reset('publisher')
  await one.log.line('broker publisher connecting')
  one.app.notifier.disconnect('a')
  await one.app.notifier.broadcast('hello')
  t.match(await clients[0]!.closed, { code: 4502 })
  t.same(await clients[1]!.received(1), ['hello'])
})

test('in a cluster, notify() ends in time while the broker is away', async t => {
  const broker = await useBroker(t)
  const proxy = await startProxy(t, broker.url)
  const options = { queue: broker.queueName(), cluster: true, publishTimeout: 1_000, drainTimeout: 500 }
  t.teardown(() => broker.channel.deleteExchange(`${options.queue}.relay`))
  const one = await startApp(t, { ...options, amqpUrl: proxy.through(broker.url) })
  const client = await connectTo(t, one, 'here')
  await eventually(() => one.app.notifier.connections('here') === 1, 'welcomed')
  proxy.blackhole()
  await t.rejects(one.app.notifier.notify('elsewhere', 'hi'), { code: 'FST_NOTIFICATION_PUBLISH_TIMEOUT', statusCode: 503 })
  await t.rejects(one.app.notifier.isOnline('elsewhere'), { code: 'FST_NOTIFICATION_PUBLISH_TIMEOUT' })
  t.match(await one.app.notifier.notify('here', 'hi'), { outcome: 'sent', connections: 1 })
  t.same(await client.received(1), ['hi'])
  proxy.forward()
})

test('a notification that is acknowledged on one instance is settled on all', async t => {
  const { broker, queue, apps } = await startInstances(t, 2, { settle: 'acknowledged', dismiss: true, maxUnacked: 1 })
  const [one, two] = apps as [TestApp, TestApp]
  const here = await connectRich(t, one.notifications('123'))
  const there = await connectRich(t, two.notifications('123'))
  for (const [n, [acking, other]] of ([[here, there], [there, here]] as const).entries()) {
    const id = `m${n}`
    await broker.publish(queue, { userId: '123', content: id, id })
    for (const client of [acking, other]) await client.until(() => client.frames.some(frame => frame.type === 'notification' && frame.id === id), () => id)
    acking.ack(id)
    await other.until(() => other.frames.at(-1)?.type === 'dismiss', () => 'the other one is told')
    t.match(other.frames.at(-1), { ids: [id] })
    await eventually(() => apps.every(({ app }) => app.notifier.health().unsettled === 0), 'settled')
  }
})

test('what is not acknowledged on one instance goes to another one, else the way of those who are offline', async t => {
  const { apps } = await startInstances(t, 3, { settle: 'acknowledged' })
  const [one, two, three] = apps as [TestApp, TestApp, TestApp]
  const first = await connectRich(t, two.notifications('123'))
  const pending = one.app.notifier.notify('123', 'hi', { id: 'x' })
  await first.framesReceived(1)
  const second = await connectRich(t, three.notifications('123'))
  first.socket.terminate()
  t.match(await second.framesReceived(1), [{ id: 'x', content: 'hi', redelivered: true }])
  second.socket.terminate()
  t.match(await pending, { outcome: 'offline' })
})

test('what a client acknowledges while its instance closes is settled', async t => {
  const { apps: [one, two] } = await startInstances(t, 2, { settle: 'acknowledged', drainTimeout: 30_000 })
  const client = await connectRich(t, two!.notifications('123'))
  const pending = one!.app.notifier.notify('123', 'hi', { id: 'x' })
  await client.framesReceived(1)
  client.socket.pause() // so that it doesn't answer the close frame
  const closed = two!.app.close()
  await two!.log.line('broker relay closed')
  client.ack('x')
  t.match(await pending, { outcome: 'acknowledged', connections: 1 })
  client.socket.resume()
  await closed
})

test('what cannot be dead-lettered for a while is dead-lettered once', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
  await broker.channel.assertQueue(`${queue}.dead`, { arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } })
  await broker.publish(`${queue}.dead`, 'it is full')
  const { app, log } = await startApp(t, {
    amqpUrl: broker.url, queue, cluster: true, offline: 'dead-letter', relay: { receiptTimeout: 100 }, reconnect: { initialDelay: 10, maxDelay: 50 }
  })
  await broker.publish(queue, { userId: '123', content: 'hi' })
  await log.line('dead letters cannot be published')
  await delay(2_000) // for which there is no event: it would be asked again twice, at least
  t.ok(await broker.channel.get(`${queue}.dead`, { noAck: true }), 'there is room again')
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  await delay(500)
  t.match(app.notifier.stats(), { deadLettered: { offline: 1 } })
  t.equal((await broker.takeAll(`${queue}.dead`)).length, 1)
})

test('a user whose only connection here is too slow is not offline', async t => {
  const { apps: [one, two] } = await startInstances(t, 2, { limits: { bufferedBytes: 100_000 } })
  const client = await connectTo(t, two!, '123')
  const slow = await connectTo(t, one!, '123')
  slow.socket.pause()
  let sent = 0
  for (; one!.app.notifier.connections('123') > 0; sent++) {
    t.match(await one!.app.notifier.notify('123', 'x'.repeat(500_000)), { outcome: 'sent' })
  }
  await client.received(sent)
  t.match(one!.app.notifier.stats(), { sent, offline: 0 })
})

test('what was for a connection elsewhere that is too slow is dead-lettered once', async t => {
  const { broker, queue, apps: [one, two] } = await startInstances(t, 2, { offline: 'dead-letter', limits: { bufferedBytes: 100_000 } })
  const slow = await connectTo(t, two!, '123')
  slow.socket.pause()
  let outcome
  while (two!.app.notifier.connections('123') > 0) ({ outcome } = await one!.app.notifier.notify('123', 'x'.repeat(500_000)))
  t.equal(outcome, 'dead-lettered')
  t.match(one!.app.notifier.stats(), { deadLettered: { offline: 1 } })
  t.match(two!.app.notifier.stats(), { deadLettered: {}, offline: 0 })
  t.equal((await broker.takeAll(`${queue}.dead`)).length, 1)
})

test('at shutdown who waits for the outcome of another instance is told that there will be none', async t => {
  const { apps: [one, two] } = await startInstances(t, 2, { settle: 'acknowledged', drainTimeout: 500 })
  const client = await connectRich(t, two!.notifications('123'))
  const { notifier } = one!.app
  const failed = t.rejects(notifier.notify('123', 'hi'), { code: 'FST_NOTIFICATION_PUBLISH_FAILED' })
  await client.framesReceived(1)
  await one!.app.close()
  await failed
  await t.rejects(notifier.notify('456', 'too late'), { code: 'FST_NOTIFICATION_PUBLISH_FAILED' })
})

test('what is nested deeply reaches other instances too', async t => {
  const { broker, queue, apps: [one, two] } = await startInstances(t, 2)
  const client = await connectTo(t, two!, '123')
  const depths = [100, 1_000, 3_000, 10_000, 100_000] // the parser would overflow the stack from some 5,000 on
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  await broker.publish(queue, ...depths.map(depth => `{"userId":"123","content":${nested(depth)}}`))
  t.same(await client.received(depths.length), depths.map(nested))
  await eventually(() => [one!, two!].every(({ app }) => app.notifier.health().unsettled === 0), 'settled')
})

test('a consumer of another application on the queue is warned of', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const options = { amqpUrl: broker.url, queue }
  const first = await startApp(t, options)
  t.notOk(first.log.lines.some(({ msg }) => msg.startsWith('another consumer')))
  const second = await startApp(t, options)
  t.match(await second.log.line('another consumer takes part of the messages, for users who may be connected here: set cluster: true on all instances'), { queue, consumers: 1 })
})

test('instances drop what is no frame of theirs, and say so once for each kind', async t => {
  const { broker, queue, apps: [one] } = await startInstances(t, 1)
  const client = await connectTo(t, one!, '123')
  const envelope = { v: 1, from: 'other', inbox: 'nowhere', term: 1, seq: 1 }
  const relay = { relay: 1, userId: '123', id: 'forged', json: '"forged"', position: 1 }
  const malformed = [
    'no JSON', '1', '{}', '{"v":"1"}', JSON.stringify({ ...envelope, kind: 'unknown', body: null }),
    JSON.stringify({ ...envelope, kind: '__proto__', body: null }), JSON.stringify({ ...envelope, kind: 'relay', body: [{ ...relay, id: '' }] }),
    JSON.stringify({ ...envelope, kind: 'receipts', body: [[1, 'lost', 0]] }), JSON.stringify({ ...envelope, term: 0, kind: 'beat', body: null })
  ]
  const send = (body: string, properties: object) => broker.channel.publish(`${queue}.relay`, '', Buffer.from(body), properties)
  for (const body of malformed) send(body, { userId: 'guest' })
  for (const v of [2, 3]) send(JSON.stringify({ ...envelope, v }), { userId: 'guest' })
  for (const kind of ['relay', 'broadcast', 'disconnect']) {
    const body = { relay: [relay], broadcast: { id: 'forged', json: '"forged"' }, disconnect: { userId: '123', code: 4502, reason: 'forged' } }[kind]
    send(JSON.stringify({ ...envelope, kind, body }), {}) // whoever may write to the exchange, but does not have the login
  }
  await broker.channel.waitForConfirms()
  const faults = () => one!.log.lines.filter(({ msg }) => /^frame dropped/.test(String(msg))).map(({ fault }) => fault)
  await eventually(() => faults().length === 3, 'logged')
  await one!.app.notifier.notify('123', 'hi')
  t.same(await client.received(1), ['hi'])
  t.same(faults(), ['malformed', 'other-version', 'foreign'])
})

test('what is too large for another instance follows the option offline, and is no burden for what comes next', async t => {
  const { apps: [one, two] } = await startInstances(t, 2)
  const here = await connectTo(t, one!, 'here')
  const away = await Promise.all([connectTo(t, two!, 'here'), connectTo(t, two!, 'away')])
  const content = '"'.repeat(5 * 2 ** 20) // four times as much as JSON within JSON
  t.match(await one!.app.notifier.notify('away', content), { outcome: 'offline' })
  t.match(await one!.log.line('notification too large for another instance'), { level: 40, userId: 'away' })
  t.match(await one!.app.notifier.notify('here', content), { outcome: 'sent', connections: 1 })
  t.same(await here.received(1), [content])
  t.match(await one!.app.notifier.broadcast(content), { users: 1, connections: 1 })
  t.same(await here.received(2), [content, content])
  t.same(one!.app.notifier.stats().unsent, { overflow: 0, expired: 0, 'too-large': 1 })
  await one!.app.notifier.broadcast('next')
  t.same(await here.received(3), [content, content, 'next'])
  for (const client of away) t.same(await client.received(1), ['next'])
})

test('an application consumes several queues', async t => {
  const broker = await useBroker(t)
  const queues = [broker.queueName(), broker.queueName(), broker.queueName()]
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue: queues })
  const client = await connectClient(t, notifications('123'))
  for (const queue of queues) await broker.publish(queue, { userId: '123', content: queue }, 'no JSON')
  t.same((await client.received(3)).toSorted(), queues.toSorted())
  await eventually(() => app.notifier.stats().deadLettered['invalid-json'] === 3, 'dead-lettered')
  const letters = await broker.takeAll(`${queues[0]}.dead`)
  t.same(letters.map(({ properties }) => properties.headers?.['x-notification-queue']).toSorted(), queues.toSorted())
})
