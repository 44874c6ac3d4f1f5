import { test } from 'tap'
import { startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { startProxy } from './support/proxy.js'
import { connectRich } from './support/rich-client.js'

const settle = 'acknowledged'

test('a message is settled when a client has acknowledged it, not before', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, settle })
  const client = await connectRich(t, notifications('123'))
  await broker.publish(queue, { userId: '123', content: 'a', id: 'a' }, { userId: '123', content: 'b', id: 'b' })
  t.match(await client.framesReceived(2), [{ id: 'a', content: 'a' }, { id: 'b', content: 'b' }])
  t.equal(app.notifier.health().unsettled, 2)
  client.ack('b')
  await eventually(() => app.notifier.health().unsettled === 1, 'b is settled')
  client.ack('a')
  await eventually(() => app.notifier.health().unsettled === 0, 'a too')
  t.match(app.notifier.stats(), { acknowledged: 2, sent: 0 })
  await app.close()
  t.equal((await broker.takeAll(queue)).length, 0)
})

test('notify() resolves with what became of it', async t => {
  const { app, notifications } = await startApp(t, { settle })
  const client = await connectRich(t, notifications('123'))
  const pending = app.notifier.notify('123', 'hello', { id: 'x' })
  await client.framesReceived(1)
  client.ack('x')
  t.same(await pending, { id: 'x', outcome: 'acknowledged', connections: 1 })
  t.same(await app.notifier.notify('456', 'hello', { id: 'y' }), { id: 'y', outcome: 'offline', connections: 0 })
})

test("with settle: 'acknowledged', a notification for a plain client is settled when it was sent", async t => {
  const { app, notifications } = await startApp(t, { settle })
  await connectClient(t, notifications('123'))
  t.match(await app.notifier.notify('123', 'hello'), { outcome: 'sent', connections: 1 })
})

test('one of several connections is enough to acknowledge, and with dismiss the others are told', async t => {
  for (const dismiss of [true, false]) {
    const { app, notifications } = await startApp(t, { settle, dismiss, maxUnacked: 1 })
    const [one, two] = [await connectRich(t, notifications('123')), await connectRich(t, notifications('123'))]
    const pending = app.notifier.notify('123', 'first', { id: '1' })
    await one.framesReceived(1)
    await two.framesReceived(1)
    two.ack('1')
    t.match(await pending, { outcome: 'acknowledged', connections: 2 })
    app.notifier.notify('123', 'second', { id: '2' }).catch(() => {})
    const second = { type: 'notification', id: '2', content: 'second' }
    t.same((await one.framesReceived(dismiss ? 3 : 2)).slice(1), dismiss ? [{ type: 'dismiss', ids: ['1'] }, second] : [second])
    t.same((await two.framesReceived(2))[1], second, 'both have room again')
  }
})

test('what a connection has not acknowledged when it ends goes to another one, else the way of those who are offline', async t => {
  const { app, notifications } = await startApp(t, { settle })
  const first = await connectRich(t, notifications('123'))
  const pending = ['1', '2'].map(id => app.notifier.notify('123', id, { id }))
  await first.framesReceived(2)
  const second = await connectRich(t, notifications('123'))
  first.socket.terminate()
  t.match(await second.framesReceived(2), [{ id: '1', redelivered: true }, { id: '2', redelivered: true }])
  second.ack('1')
  t.match(await pending[0], { outcome: 'acknowledged', connections: 2 })
  second.socket.terminate()
  t.match(await pending[1], { outcome: 'offline' })
})

test('a connection that does not acknowledge in time is closed, and its notifications go on', async t => {
  const { app, notifications } = await startApp(t, { settle, ackTimeout: 100, heartbeat: { interval: 500, timeout: 200 } })
  const silent = await connectRich(t, notifications('123'))
  const pending = app.notifier.notify('123', 'hello', { id: '1' })
  t.match(await silent.closed, { code: 4002 })
  t.match(await pending, { outcome: 'offline' })
})

test('no more than maxUnacked are handed to a connection; the others wait, in order', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, settle, maxUnacked: 3 })
  const client = await connectRich(t, notifications('123'))
  const ids = Array.from({ length: 10 }, (_, n) => String(n))
  await broker.publish(queue, ...ids.map(id => ({ userId: '123', content: id, id })))
  await eventually(() => app.notifier.health().unsettled === 10, 'all consumed')
  await client.framesReceived(3)
  t.equal(client.frames.length, 3)
  for (const id of ids) {
    client.ack(id)
    await client.framesReceived(Math.min(10, Number(id) + 4))
    t.ok(client.frames.length <= Number(id) + 4)
  }
  t.same(client.frames.map(({ id }) => id), ids)
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
})

test('a connection that proves too slow when others are handed what waited: nothing is handed twice, or forgotten', async t => {
  const { app, notifications } = await startApp(t, { settle, maxUnacked: 2, limits: { bufferedBytes: 1_000 } })
  const notify = async (id: string, content = id) => await app.notifier.notify('123', content, { id })
  const client = await connectRich(t, notifications('123'))
  const early = [notify('a'), notify('b')]
  await client.framesReceived(2)
  const slow = await connectRich(t, notifications('123'))
  const ofSlow = notify('of slow')
  await slow.framesReceived(1)
  client.ack('b')
  await early[1]
  slow.socket.pause()
  const big = notify('big', 'x'.repeat(10_000_000))
  await client.framesReceived(3)
  const waited = [notify('c'), notify('d')]
  t.equal(app.notifier.connections('123'), 2)

  client.ack('big')
  t.match(await big, { outcome: 'acknowledged', connections: 2 })
  await client.framesReceived(4)
  t.equal(app.notifier.connections('123'), 1)
  client.ack('a')
  await client.framesReceived(5)
  client.ack('of slow')
  t.match(await ofSlow, { outcome: 'acknowledged' })
  t.match((await client.framesReceived(6)).slice(3), [{ id: 'c' }, { id: 'of slow', redelivered: true }, { id: 'd' }])
  client.ack('d')
  t.match(await waited[1], { outcome: 'acknowledged' })
  client.socket.terminate()
  t.match(await Promise.all(waited), [{ outcome: 'offline' }, { outcome: 'acknowledged' }])
})

test('what the broker delivers again joins what is under way', async t => {
  const { app, notifications } = await startApp(t, { settle })
  const client = await connectRich(t, notifications('123'))
  const pending = [app.notifier.notify('123', 'hello', { id: '1' }), app.notifier.notify('123', 'hello', { id: '1' })]
  await client.framesReceived(1)
  client.ack('1')
  t.match(await Promise.all(pending), [{ outcome: 'acknowledged' }, { outcome: 'acknowledged' }])
  t.equal(client.frames.length, 1)
})

test('what the broker delivers again joins what waits for room under the same id', async t => {
  const { app, notifications } = await startApp(t, { settle, maxUnacked: 2 })
  const client = await connectRich(t, notifications('123'))
  const pending = ['a', 'b', 'x', 'x'].map(id => app.notifier.notify('123', id, { id }))
  await client.framesReceived(2)
  client.ack('a', 'b')
  await client.framesReceived(3)
  client.ack('x')
  for (const result of await Promise.all(pending)) t.match(result, { outcome: 'acknowledged', connections: 1 })
  t.equal(client.frames.length, 3)
})

test('what comes back from a connection that has ended is handed out before what waits', async t => {
  const { app, notifications } = await startApp(t, { settle, maxUnacked: 1 })
  const notify = (id: string) => { app.notifier.notify('123', id, { id }).catch(t.error) }
  const first = await connectRich(t, notifications('123'))
  notify('1')
  await first.framesReceived(1)
  const second = await connectRich(t, notifications('123'))
  for (const id of ['2', '3', '4']) notify(id)
  await second.framesReceived(1)
  first.socket.terminate()
  await eventually(() => app.notifier.size === 1, 'gone')
  for (let n = 1; n <= 4; n++) second.ack((await second.framesReceived(n)).at(-1)!.id!)
  t.same(second.frames.map(({ id }) => id), ['2', '1', '3', '4'])
})

test('one that is closed as too slow while what waits is handed out changes nothing for the others', async t => {
  const { app, notifications } = await startApp(t, { settle, maxUnacked: 1, limits: { bufferedBytes: 100_000 } })
  const client = await connectRich(t, notifications('123'))
  const slow = await connectRich(t, notifications('123'))
  slow.socket.pause()
  const pending = [app.notifier.notify('123', 'x'.repeat(20_000_000), { id: '1' })] // more than the system's buffers take
  await client.framesReceived(1)
  for (const id of ['2', '3', '4']) pending.push(app.notifier.notify('123', id, { id }))
  client.ack('1')
  t.match(await pending[0], { outcome: 'acknowledged' })
  await eventually(() => app.notifier.size === 1, 'closed')
  await client.framesReceived(2)
  t.same(client.frames.map(({ id }) => id), ['1', '2'])
  client.socket.terminate()
  for (const result of await Promise.all(pending.slice(1))) t.match(result, { outcome: 'offline' })
})

test('notify() has an outcome of its own where the broker delivers again what it had joined', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const proxy = await startProxy(t, broker.url)
  const { app, notifications } = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, settle })
  const client = await connectRich(t, notifications('123'))
  await broker.publish(queue, { userId: '123', content: 'hello', id: '1' })
  await client.framesReceived(1)
  const pending = app.notifier.notify('123', 'hello', { id: '1' })
  proxy.blackhole() // it does not come at once
  proxy.reset('consumer')
  await eventually(() => !app.notifier.health().ready, 'lost')
  client.socket.terminate()
  t.match(await pending, { id: '1', outcome: 'offline' })
  proxy.forward()
})

test('at shutdown what is not acknowledged goes back to the queue', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, settle, drainTimeout: 2_000 })
  const client = await connectRich(t, notifications('123'))
  await broker.publish(queue, { userId: '123', content: 'a', id: 'a' }, { userId: '123', content: 'b', id: 'b' })
  await client.framesReceived(2)
  const closed = app.close()
  client.ack('a')
  await closed
  const left = await broker.takeAll(queue, 1)
  t.same(left.map(({ content }) => JSON.parse(content.toString()).id), ['b'])
})

test('what the broker delivers again while it waits for room is marked as redelivered', async t => {
  const broker = await useBroker(t)
  const proxy = await startProxy(t, broker.url)
  const queue = broker.queueName()
  const { app, log, notifications } = await startApp(t, {
    amqpUrl: proxy.through(broker.url), queue, settle, maxUnacked: 1, reconnect: { initialDelay: 10, maxDelay: 50 }
  })
  const client = await connectRich(t, notifications('123'))
  await broker.publish(queue, { userId: '123', content: 'a', id: 'a' }, { userId: '123', content: 'b', id: 'b' })
  await eventually(() => app.notifier.health().unsettled === 2, 'b waits')
  proxy.reset('consumer')
  await eventually(() => log.lines.filter(({ msg }) => msg === 'broker consumer open').length === 2, 'consuming again')
  await eventually(() => app.notifier.health().unsettled === 2, 'both are delivered again')
  client.ack('a')
  t.match(await client.framesReceived(2), [{ id: 'a', redelivered: undefined }, { id: 'b', redelivered: true }])
})
