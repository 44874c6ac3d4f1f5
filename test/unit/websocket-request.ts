import { once } from 'node:events'
import { test } from 'tap'
import type { WebSocket } from 'ws'
import { eventually } from '../support/eventually.js'
import { collectGarbage } from '../support/collect-garbage.js'
import { connectClient } from '../support/client.js'
import notificationPlugin from '../../src/index.js'
import { createApp, listen, startApp } from '../support/app.js'

test('an open connection keeps neither its request nor its response in memory', async t => {
  const upgrades: Array<WeakRef<object>> = []
  const { app, notifications } = await startApp(t, {}, app => {
    app.addHook('onRequest', async (request, reply) => { upgrades.push(...[request.raw, request, reply.raw, reply].map(object => new WeakRef(object))) })
  })
  const client = await connectClient(t, notifications('123'))
  await eventually(() => {
    collectGarbage()
    return upgrades.every(upgrade => upgrade.deref() === undefined)
  }, 'all four collected')
  t.equal(upgrades.length, 4)
  t.equal(app.notifier.connections('123'), 1)
  t.equal(client.socket.readyState, client.socket.OPEN)
})

test('who listens to the response of an upgrade is told when the connection has ended', async t => {
  const ended: string[] = []
  const { app, notifications } = await startApp(t, {}, app => {
    app.addHook('onRequest', async (_request, reply) => { reply.raw.once('close', () => { ended.push('response') }) })
  })
  const client = await connectClient(t, notifications('123'))
  t.same(ended, [])
  client.socket.close()
  await eventually(() => ended.length === 1, 'told')
  await eventually(() => app.notifier.connections('123') === 0, 'ended')
})

test('a connection whose WebSocket fails is ended, and this is logged with whose it was', async t => {
  const sockets: WebSocket[] = []
  const { app, log, notifications } = await startApp(t, {})
  app.websocketServer.on('connection', socket => sockets.push(socket))
  const client = await connectClient(t, notifications('123'))
  const closed = once(client.socket, 'close')
  sockets[0]!.emit('error', new Error('torn'))
  t.match(await log.line('websocket failed'), { level: 50, userId: '123', connectionId: /./, err: { message: 'torn' } })
  t.equal((await closed)[0], 1006)
  await eventually(() => app.notifier.connections('123') === 0, 'ended')
})

test("an application's own error listener on a WebSocket of the route is called", async t => {
  const sockets: WebSocket[] = []
  const errors: Error[] = []
  const { app, log, notifications } = await startApp(t, {})
  app.websocketServer.on('connection', socket => sockets.push(socket.on('error', error => errors.push(error))))
  await connectClient(t, notifications('123'))
  sockets[0]!.emit('error', new Error('torn'))
  await log.line('websocket failed')
  t.match(errors, [{ message: 'torn' }])
})

test("the route's logLevel applies to what its WebSockets log", async t => {
  const { app, log } = createApp(t)
  const sockets: WebSocket[] = []
  await app.register(notificationPlugin, { logLevel: 'silent' })
  app.websocketServer.on('connection', socket => sockets.push(socket))
  const { notifications } = await listen(app)
  const client = await connectClient(t, notifications('123'))
  sockets[0]!.emit('error', new Error('torn'))
  await client.closed
  t.notOk(log.lines.some(({ msg }) => msg === 'websocket failed'))
})
