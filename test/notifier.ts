import { EventEmitter, once } from 'node:events'
import { test } from 'tap'
import type { WebSocket } from 'ws'
import notificationPlugin from '../src/index.js'
import { createApp, listen, startApp } from './support/app.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'

test('notify() from a route reaches the user, and tells what became of it', async t => {
  const { app, notifications } = await startApp(t, {}, app => {
    app.post<{ Params: { userId: string } }>('/notify/:userId', async request => await app.notifier.notify(request.params.userId, request.body))
  })
  const client = await connectClient(t, notifications('123'))

  const { id, ...routed } = await app.notifier.notify('123', 'hi')
  t.same(routed, { outcome: 'sent', connections: 1 })
  t.match(id, /^[0-9a-f-]{36}$/)
  const response = await app.inject({ method: 'POST', url: '/notify/123', payload: { answer: 42 } })
  t.match(response.json(), { outcome: 'sent', connections: 1 })
  t.same(await client.received(2), ['hi', '{"answer":42}'])

  t.same(await app.notifier.notify('nobody', 'hi', { id: 'my-id' }), { id: 'my-id', outcome: 'offline', connections: 0 })
  t.match(app.notifier.stats(), { sent: 2, offline: 1 })
})

test('notifyMany() and broadcast() send one content to many, each user once', async t => {
  const { app, notifications } = await startApp(t, {})
  const [a1, a2, b, c] = await Promise.all(['a', 'a', 'b', 'c'].map(userId => connectClient(t, notifications(userId))))

  t.match(await app.notifier.notifyMany(['a', 'b', 'a', 'gone'], { n: 1 }), { users: 3, connections: 3, outcomes: { sent: 2, offline: 1 } })
  t.match(await app.notifier.broadcast('all', { id: 'x' }), { id: 'x', users: 3, connections: 4, outcomes: { sent: 3 } })
  t.same(await a1!.received(2), ['{"n":1}', 'all'])
  t.same(await a2!.received(2), ['{"n":1}', 'all'])
  t.same(await b!.received(2), ['{"n":1}', 'all'])
  t.same(await c!.received(1), ['all'])
})

test('notify() refuses bad input with a coded error that quotes nothing, and sends nothing', async t => {
  const { app, notifications } = await startApp(t, {})
  const client = await connectClient(t, notifications('a'))
  const { notifier } = app
  const cycle: { self?: unknown } = {}
  cycle.self = cycle

  for (const userId of ['', 'x'.repeat(256), '€'.repeat(100), 'a\nb', '\ud800', '__proto__', 1, null, undefined] as string[]) {
    await t.rejects(notifier.notify(userId, 'x'), { code: 'FST_NOTIFICATION_INVALID_USER_ID', statusCode: 400 }, JSON.stringify(userId))
    await t.rejects(notifier.notifyMany(['a', userId], 'x'), { code: 'FST_NOTIFICATION_INVALID_USER_ID' })
  }
  for (const content of [undefined, () => {}, Symbol('s'), 1n, cycle]) {
    await t.rejects(notifier.notify('a', content), { code: 'FST_NOTIFICATION_INVALID_CONTENT', statusCode: 400 }, typeof content)
    await t.rejects(notifier.broadcast(content), { code: 'FST_NOTIFICATION_INVALID_CONTENT' })
  }
  for (const userIds of ['abc', undefined, null, 5, {}] as unknown as string[][]) {
    await t.rejects(notifier.notifyMany(userIds, 'x'), { code: 'FST_NOTIFICATION_INVALID_USER_ID', message: /several/ })
  }
  await t.rejects(notifier.notify('a', 'x', { id: '' }), { code: 'FST_NOTIFICATION_INVALID_ID' })
  const id = 'order-7' as never // TypeScript refuses it
  for (const result of [notifier.notify('a', 'x', id), notifier.notifyMany(['a'], 'x', id), notifier.notifyGroup('a', 'x', id), notifier.broadcast('x', id)]) {
    await t.rejects(result as Promise<object>, { code: 'FST_NOTIFICATION_INVALID_ID', message: "id must be in an object, as in { id: 'order-7' }; got a string of 7 bytes" })
  }
  await t.rejects(notifier.notifyMany(['a'], 'x', { id: 'a\u0000' }), { code: 'FST_NOTIFICATION_INVALID_ID' })
  const error = await notifier.notify('secret\n', 'x').catch((error: Error) => error)
  t.notMatch((error as Error).message, 'secret')

  await notifier.notify('a', 'last')
  t.same(await client.received(1), ['last'])
})

test('a user id may have 255 bytes, whatever its characters', async t => {
  const { app, notifications } = await startApp(t, {})
  for (const userId of ['x'.repeat(255), '€'.repeat(85), 'constructor', ' ', '../../a?b=c&d#e%']) {
    const client = await connectClient(t, notifications(userId))
    await app.notifier.notify(userId, 'yours')
    t.same(await client.received(1), ['yours'], userId)
  }
})

test('a user has any number of connections; closing one leaves the others', async t => {
  const { app, notifications, log } = await startApp(t, {})
  const { notifier } = app
  const tabs = await Promise.all([1, 2, 3].map(() => connectClient(t, notifications('123'))))
  await connectClient(t, notifications('456'))
  t.equal(notifier.connections('123'), 3)
  t.equal(notifier.connections('nobody'), 0)
  t.equal(notifier.size, 4)
  t.equal(notifier.users.size, 2)
  t.same([...notifier.users].sort(), ['123', '456'])
  t.ok(notifier.users.has('456'))

  await tabs[1]!.close()
  await log.line('client disconnected')
  t.match(await notifier.notify('123', 'still here'), { connections: 2 })
  t.same(await tabs[0]!.received(1), ['still here'])
  t.same(await tabs[2]!.received(1), ['still here'])
  t.same(tabs[1]!.messages, [])
  t.equal(notifier.size, 3)
})

test('a route of the application can register sockets of its own', async t => {
  const { app, log } = createApp(t)
  await app.register(notificationPlugin, {})
  const accepted = new EventEmitter<{ socket: [WebSocket, string] }>()
  app.get('/own', { websocket: true }, (socket, request) => {
    accepted.emit('socket', socket, app.notifier.register('me', socket, request))
  })
  const { at } = await listen(app)
  const [client, [socket, connectionId]] = await Promise.all([connectClient(t, at('/own')), once(accepted, 'socket')])
  const { notifier } = app

  t.match(await log.line('client connected'), { userId: 'me', connectionId, reqId: /./ })
  t.equal(notifier.register('me', socket), connectionId, 'registered twice it counts once')
  t.equal(notifier.connections('me'), 1)
  await notifier.notify('me', 'hello')
  t.same(await client.received(1), ['hello'])

  t.equal(notifier.unregister('somebody else', socket), false)
  t.equal(notifier.unregister('me', socket), true)
  t.equal(notifier.unregister('me', socket), false)
  t.equal((await notifier.notify('me', 'not any more')).outcome, 'offline')
  const listeners = () => socket.listenerCount('close') + socket.listenerCount('error')
  const before = listeners()
  for (let times = 0; times < 20; times++) {
    notifier.register('me', socket)
    notifier.unregister('me', socket)
  }
  t.equal(listeners(), before, 'it leaves no listener behind')
  t.ok(app.websocketServer.clients.has(socket), "it is @fastify/websocket's to close again")
  t.equal(socket.readyState, socket.OPEN, 'the socket stays open')

  t.throws(() => notifier.register('', socket), { code: 'FST_NOTIFICATION_INVALID_USER_ID' })
  for (const wrong of [null, undefined, {}, 'socket', { readyState: 1, OPEN: 1 }] as unknown as WebSocket[]) {
    t.throws(() => notifier.register('me', wrong), { code: 'FST_NOTIFICATION_INVALID_SOCKET' })
  }
  await client.close()
  t.throws(() => notifier.register('me', socket), { code: 'FST_NOTIFICATION_INVALID_SOCKET' }, 'a closed socket')
})

test('one socket may be registered for several users, and each may be taken back', async t => {
  const { app } = createApp(t)
  await app.register(notificationPlugin, {})
  const accepted = new EventEmitter()
  app.get('/own', { websocket: true }, socket => { accepted.emit('socket', socket) })
  const { at } = await listen(app)
  const [client, [socket]] = await Promise.all([connectClient(t, at('/own')), once(accepted, 'socket')])
  const { notifier } = app

  const listening = socket.eventNames().length
  for (const userId of ['a', 'b', 'c']) notifier.register(userId, socket)
  t.ok(notifier.unregister('a', socket))
  t.match(await notifier.notify('a', 'nobody'), { outcome: 'offline' })
  for (const userId of ['b', 'c']) await notifier.notify(userId, `for ${userId}`)
  t.same(await client.received(2), ['for b', 'for c'])

  await client.close()
  await eventually(() => ['b', 'c'].every(userId => notifier.connections(userId) === 0), 'both have ended')
  t.equal(socket.eventNames().length, listening, 'no listener is left')
})

test('a proxy of a socket may be registered, and its end is noticed', async t => {
  const { app } = createApp(t)
  await app.register(notificationPlugin, {})
  app.get('/own', { websocket: true }, socket => { app.notifier.register('123', new Proxy(socket, { get: (target, name) => Reflect.get(target, name, target) })) })
  const { at } = await listen(app)
  const client = await connectClient(t, at('/own'))
  await eventually(() => app.notifier.connections('123') === 1, 'registered')
  await app.notifier.notify('123', 'hello')
  t.same(await client.received(1), ['hello'])
  await client.close()
  await eventually(() => app.notifier.connections('123') === 0, 'ended')
})

test('a client of notification.v1 is heard though the application has registered its socket too', async t => {
  const { app } = createApp(t)
  await app.register(notificationPlugin, { settle: 'acknowledged' })
  app.websocketServer.on('connection', socket => app.notifier.register('everybody', socket))
  const { notifications } = await listen(app)
  const client = await connectClient(t, notifications('123'), {}, 'notification.v1')
  client.socket.send('{"type":"ping"}')
  await client.until(() => client.messages.some(message => message.includes('"pong"')), () => 'a pong')
})

test('disconnect() closes every connection of a user at once', async t => {
  const { app, notifications } = await startApp(t, {})
  const tabs = await Promise.all([1, 2].map(() => connectClient(t, notifications('123'))))
  const other = await connectClient(t, notifications('456'))

  t.equal(app.notifier.disconnect('123'), 2)
  t.match(await app.notifier.notify('123', 'too late'), { outcome: 'offline' }, 'nothing is sent after it')
  for (const { closed, messages } of tabs) {
    t.same(await closed, { code: 4502, reason: 'disconnected by the application' })
    t.same(messages, [])
  }
  t.equal(app.notifier.disconnect('123'), 0)
  t.equal(app.notifier.disconnect('456', 4123, 'bye'), 1)
  t.same(await other.closed, { code: 4123, reason: 'bye' })

  for (const code of [0, 999, 1004, 1005, 1006, 1010, 1015, 2999, 5000, 1.5, NaN, 1007.5, '1008' as unknown as number]) {
    t.throws(() => app.notifier.disconnect('x', code), { code: 'FST_NOTIFICATION_INVALID_CLOSE' }, String(code))
  }
  t.throws(() => app.notifier.disconnect('x', 1008, null as unknown as string), { code: 'FST_NOTIFICATION_INVALID_CLOSE' })
  t.throws(() => app.notifier.disconnect('x', 1008, '€'.repeat(42)), { code: 'FST_NOTIFICATION_INVALID_CLOSE' })
})
