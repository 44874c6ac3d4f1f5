import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import notificationPlugin from '../../src/index.js'
import { createApp, createLog, listen, startApp } from '../support/app.js'
import { connectClient, refusal } from '../support/client.js'

const errorOf = async (registered: PromiseLike<unknown>) => await Promise.resolve(registered).then(() => undefined, (error: Error) => error)

test('@fastify/websocket registered after the plugin, in its scope or below, is told to be registered before', async t => {
  for (const register of [
    (app: FastifyInstance) => app.register(websocket),
    (app: FastifyInstance) => app.register(import('@fastify/websocket')),
    (app: FastifyInstance) => app.register(async scope => { await scope.register(websocket) })
  ]) {
    const { app } = createApp(t)
    await app.register(notificationPlugin, {})
    t.match(await errorOf(register(app)), {
      code: 'FST_NOTIFICATION_WEBSOCKET_REGISTERED_TWICE',
      message: /register @fastify\/websocket before fastify-notification, or leave it to the plugin/
    })
  }
})

test('other plugins are registered after the plugin as ever', async t => {
  const { app } = createApp(t)
  await app.register(notificationPlugin, {})
  await app.register(async (scope, { name }) => { scope.decorate(name, 'mine') }, { name: 'below' })
  await app.register(import('@fastify/cookie'))
  app.register(async scope => { scope.get('/v1/hello', async () => 'hello') })
  await app.ready()
  t.notOk(app.hasDecorator('below'))
  t.ok(app.hasPlugin('@fastify/cookie'))
  t.equal((await app.inject('/v1/hello')).body, 'hello')
})

test('the plugin registered twice in a scope, or below itself, is told how to have two', async t => {
  for (const register of [
    (app: FastifyInstance) => app.register(notificationPlugin, { path: '/second' }),
    (app: FastifyInstance) => app.register(async scope => { await scope.register(notificationPlugin, { path: '/second' }) })
  ]) {
    const { app } = createApp(t)
    await app.register(notificationPlugin, {})
    t.match(await errorOf(register(app)), { code: 'FST_NOTIFICATION_REGISTERED_TWICE', message: /register it in a scope beside that one, with another 'path'/ })
  }
})

test('prefix is put before the path, in the root and in a scope that has one', async t => {
  const { app } = createApp(t)
  await app.register(async scope => { await scope.register(notificationPlugin, { prefix: '/v1/' }) }, { prefix: '/api' })
  await app.register(async scope => { await scope.register(notificationPlugin, { prefix: '/v2', path: '/inbox' }) })
  const { at } = await listen(app)
  await connectClient(t, at('/api/v1/notification?userId=123'))
  await connectClient(t, at('/v2/inbox?userId=123'))
  t.equal((await refusal(at('/notification?userId=123'))).statusCode, 404)
})

test('a prefix, a logLevel or logSerializers that are none fail register', async t => {
  for (const [options, message] of [
    [{ prefix: 'v1' }, /option 'prefix' must be a path that begins with '\/', without a query; got 'v1'/],
    [{ prefix: '/v1?a' }, /option 'prefix'/],
    [{ logLevel: 7 }, /option 'logLevel' must be a level of the logger, as in 'warn'; got 7/],
    [{ logSerializers: 'none' }, /option 'logSerializers' must be an object of functions; got 'none'/]
  ] as const) {
    const { app } = createApp(t)
    t.match(await errorOf(app.register(notificationPlugin, options as object)), { code: 'FST_NOTIFICATION_INVALID_OPTION', message })
  }
})

test('logLevel and logSerializers are those of the requests of the route', async t => {
  const requests = (lines: Array<{ msg: string }>) => lines.filter(({ msg }) => msg === 'incoming request')
  const quiet = await startApp(t, { logLevel: 'warn' } as object)
  await connectClient(t, quiet.notifications('123'))
  t.same(requests(quiet.log.lines), [])
  const custom = await startApp(t, { logSerializers: { req: () => 'mine' } } as object)
  await connectClient(t, custom.notifications('123'))
  t.match(requests(custom.log.lines), [{ req: 'mine' }])
  const standard = await startApp(t, { logSerializers: { other: () => 'mine' } } as object)
  await connectClient(t, standard.notifications('123'))
  t.match(requests(standard.log.lines), [{ req: { url: '/notification' } }], 'without the query')
})

/** A key and a certificate for this test alone. */
function selfSigned (t: Test): { key: Buffer, cert: Buffer } {
  const folder = t.testdir()
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-keyout', key, '-out', cert], { stdio: 'ignore' })
  return { key: readFileSync(key), cert: readFileSync(cert) }
}

test('http2 without HTTP/1.1 is refused by register, as no WebSocket could ever be opened', async t => {
  const apps = [Fastify({ http2: true }), Fastify({ http2: true, https: selfSigned(t) }), Fastify({ http2: true, https: { ...selfSigned(t), allowHTTP1: false } })]
  for (const app of apps) {
    t.teardown(() => app.close())
    t.match(await errorOf((app as unknown as FastifyInstance).register(notificationPlugin, {})), { code: 'FST_NOTIFICATION_HTTP1_REQUIRED', message: /allowHTTP1: true/ })
  }
})

for (const http2 of [false, true]) {
  test(`${http2 ? 'http2 with allowHTTP1' : 'https'} works`, async t => {
    const log = createLog(t)
    const server = { logger: { stream: log.stream }, https: { ...selfSigned(t), allowHTTP1: true } }
    const app = (http2 ? Fastify({ ...server, http2 }) : Fastify(server)) as unknown as FastifyInstance
    t.teardown(() => app.close())
    await app.register(notificationPlugin, { limits: { upgradeTimeout: 50 }, authenticate: ({ id, query }) => (query as { userId?: string }).userId ?? id })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as AddressInfo
    const client = await connectClient(t, `wss://127.0.0.1:${port}/notification?userId=123`, { rejectUnauthorized: false })
    await app.notifier.notify('123', 'hi')
    t.same(await client.received(1), ['hi'])
    t.equal((await refusal(`wss://127.0.0.1:${port}/elsewhere`, { rejectUnauthorized: false })).statusCode, 404)
    const pong = once(client.socket, 'pong')
    client.socket.ping()
    await pong
    await app.close()
    t.equal((await client.closed).code, 1001)
  })
}
