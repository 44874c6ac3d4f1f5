import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import { test } from 'tap'
import notificationPlugin from '../src/index.js'
import { createApp, createLog, listen, startApp, warningsIn } from './support/app.js'
import { connectClient, refusal } from './support/client.js'

test('a missing, empty, repeated or oversized userId is refused with 400 before the upgrade', async t => {
  const { app, at } = await startApp(t, {})
  const queries = ['', '?userId', '?userId=', '?userId=1&userId=2', '?userid=1', '?userId[]=1&userId[]=2', `?userId=${'x'.repeat(256)}`,
    `?userId=${encodeURIComponent('€'.repeat(86))}`, '?userId=a%00b', '?userId=a%0D%0Ab', '?userId=__proto__']
  for (const query of queries) {
    const { statusCode, body } = await refusal(at(`/notification${query}`))
    t.equal(statusCode, 400, query)
    t.equal(JSON.parse(body).code, 'FST_NOTIFICATION_INVALID_USER_ID', query)
  }
  t.equal(app.notifier.size, 0)
})

test('a request to the route that is no upgrade is answered with 426', async t => {
  const { app } = await startApp(t, {})
  const response = await app.inject('/notification?userId=123')
  t.equal(response.statusCode, 426)
  t.equal(response.headers.upgrade, 'websocket')
  t.equal(response.json().code, 'FST_NOTIFICATION_UPGRADE_REQUIRED')
})

test('the path of the route is an option', async t => {
  const { app, at } = await startApp(t, { path: '/me/inbox' })
  const client = await connectClient(t, at('/me/inbox?userId=123'))
  await app.notifier.notify('123', 'hi')
  t.same(await client.received(1), ['hi'])
  t.equal((await refusal(at('/notification?userId=123'))).statusCode, 404)
})

test('an application may have registered @fastify/websocket, and validate by another compiler', async t => {
  const { app } = createApp(t)
  await app.register(websocket)
  app.setValidatorCompiler(() => () => ({ error: new Error('not for TypeBox') }))
  await app.register(notificationPlugin, {})
  app.get('/echo', { websocket: true }, socket => {
    socket.on('message', data => socket.send(`${data}`))
  })
  const { at, notifications } = await listen(app)
  const client = await connectClient(t, notifications('123'))
  const echo = await connectClient(t, at('/echo'))

  await app.notifier.notify('123', 'hi')
  t.same(await client.received(1), ['hi'])
  echo.socket.send('theirs')
  t.same(await echo.received(1), ['theirs'])

  await app.close()
  t.equal((await client.closed).code, 1001, 'closed by the plugin, not by @fastify/websocket')
  t.equal((await echo.closed).code, 1005)
})

test('an upgrade that a hook of the application refuses, wherever it stands, does not keep the application from closing', async t => {
  for (const hook of ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const) {
    for (const before of [true, false]) {
      const { app } = createApp(t)
      const refuse = async () => { throw Object.assign(new Error('no'), { statusCode: 418 }) }
      if (before) app.addHook(hook, refuse)
      await app.register(notificationPlugin, { path: before ? '/before' : '/after' })
      if (!before) app.addHook(hook, refuse)
      const { at } = await listen(app)
      if (before) t.equal((await refusal(at('/before?userId=123'))).statusCode, 418, hook)
      await app.close()
    }
  }
  t.pass('closed')
})

test("the plugin works with an application's own settings of @fastify/websocket and of its query parser", async t => {
  const log = createLog(t)
  const app = Fastify({
    logger: { stream: log.stream },
    routerOptions: { querystringParser: query => query === 'nested' ? { userId: { a: '1' } } : Object.fromEntries(new URLSearchParams(query)) }
  })
  t.teardown(() => app.close())
  await app.register(websocket, { options: { clientTracking: false } })
  await app.register(notificationPlugin, {})
  const { at, notifications } = await listen(app)
  t.equal((await refusal(at('/notification?nested'))).statusCode, 400)
  const client = await connectClient(t, notifications('123'))
  await app.notifier.notify('123', 'hi')
  t.same(await client.received(1), ['hi'])
})

test("a frame that breaks the protocol ends its own connection with the protocol's code", async t => {
  const { app, notifications, log } = await startApp(t, {})
  const bad = await connectClient(t, notifications('bad'))
  const good = await connectClient(t, notifications('good'))
  // An unmasked text frame: a client must mask (RFC 6455 §5.1).
  ;(bad.socket as unknown as { _socket: NodeJS.WritableStream })._socket.write(Buffer.from([0x81, 0x01, 0x41]))
  t.equal((await bad.closed).code, 1002)
  await app.notifier.notify('good', 'hi')
  t.same(await good.received(1), ['hi'])
  t.same(warningsIn(log), [], "a client's fault is not the server's warning")
})
