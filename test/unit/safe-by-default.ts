import type { Writable } from 'node:stream'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import { test, type Test } from 'tap'
import * as ws from 'ws'
import notificationPlugin, { type NotificationPluginOptions } from '../../src/index.js'
import { isOriginAllowed } from '../../src/websocket/origin.js'
import { createApp, startApp } from '../support/app.js'
import { connectClient, refusal } from '../support/client.js'
import { valueIn } from '../support/measured.js'

/** Sets `NODE_ENV` for the rest of the test. */
function setEnvironment (t: Test, value: string): void {
  const before = process.env.NODE_ENV
  t.teardown(() => {
    if (before === undefined) delete process.env.NODE_ENV
    else process.env.NODE_ENV = before
  })
  process.env.NODE_ENV = value
}

const cases: Array<[environment: string, options: NotificationPluginOptions, level: number | undefined, unprotected: boolean]> = [
  ['development', {}, 40, false],
  ['production', {}, 50, true],
  ['production', { authenticate: false }, undefined, false],
  ['production', { authenticate: () => '123' }, undefined, false]
]

for (const [environment, options, level, unprotected] of cases) {
  const given = options.authenticate === undefined ? 'nothing' : typeof options.authenticate === 'function' ? 'a function' : 'false'
  test(`with ${given} as authenticate in ${environment}, the log, health() and a metric say whether anybody can read everything`, async t => {
    setEnvironment(t, environment)
    const metrics = new Registry()
    const { app, notifications, log } = await startApp(t, { metrics, ...options })
    const lines = log.lines.filter(({ msg }) => msg.startsWith('no authenticate option'))
    t.same(lines.map(line => line.level), level === undefined ? [] : [level])
    t.equal(app.notifier.health().unprotected, unprotected)
    t.equal(await valueIn(metrics, 'unprotected'), Number(unprotected))
    const client = await connectClient(t, notifications('123'))
    await app.notifier.notify('123', 'hi')
    t.same(await client.received(1), ['hi'])
  })
}

test('authenticate must be a function or false', async t => {
  for (const authenticate of [true, 'no', null]) {
    const { app } = createApp(t)
    await t.rejects(Promise.resolve(app.register(notificationPlugin, { authenticate } as object)), { code: 'FST_NOTIFICATION_INVALID_OPTION', message: /option 'authenticate' must be a function of the request, or false/ })
  }
})

/** The status that a page gets; it is on the host that it connects to, under this name. */
async function statusOf (t: Test, url: string, host: string, scheme = 'http'): Promise<number> {
  const options = { headers: { host, origin: `${scheme}://${host}` } }
  return await Promise.any([
    refusal(url, options).then(({ statusCode }) => statusCode),
    connectClient(t, url, options).then(() => 101)
  ])
}

test('fault 100: on a loopback address, a page of a host name that resolves to it is refused; localhost and addresses are not', async t => {
  const { notifications, log } = await startApp(t, {})
  for (const host of ['rebound.example:8080', 'rebound.example', 'localhost.attacker.net', '127.0.0.1.attacker.net', 'localhost.']) {
    t.equal(await statusOf(t, notifications('123'), host), 403, host)
  }
  for (const host of ['localhost:8080', 'localhost', 'app.localhost:8080', '127.0.0.1', '127.1.2.3:80', '[::1]:8080', '192.168.1.5:8080']) {
    t.equal(await statusOf(t, notifications('123'), host), 101, host)
  }
  t.match(log.lines.find(({ msg }) => msg === 'origin refused'), {
    origin: 'http://rebound.example:8080', allowed: ['pages of the host rebound.example:8080, but not on a loopback address: name it in allowedHosts'], option: 'allowedOrigins'
  })
})

test('fault 100: a loopback address is one in each of its forms', async t => {
  const isTrusted = (localAddress: string | undefined) => isOriginAllowed('http://rebound.example', { name: 'rebound.example', localAddress, isForwarded: false, allowed: undefined }, undefined)
  for (const address of ['127.0.0.1', '127.1.2.3', '::ffff:127.0.0.1', '::1']) t.notOk(isTrusted(address), address)
  for (const address of ['192.168.1.5', '::ffff:192.168.1.5', '2001:db8::1', 'fe80::1', undefined]) t.ok(isTrusted(address), String(address))
})

test('fault 100: what a proxy on the same machine has passed on is trusted as elsewhere', async t => {
  const { notifications } = await startApp(t, {})
  for (const [name, value] of [['x-forwarded-for', '203.0.113.7'], ['forwarded', 'for=203.0.113.7'], ['via', '1.1 proxy']] as const) {
    await connectClient(t, notifications('123'), { headers: { host: 'app.example', origin: 'https://app.example', [name]: value } })
    const { statusCode } = await refusal(notifications('123'), { headers: { host: 'app.example', origin: 'https://other.example', [name]: value } })
    t.equal(statusCode, 403, 'another host is another host')
  }
})

test('fault 100: with allowedHosts, pages of these hosts may connect, on a loopback address too, and no others', async t => {
  const { notifications } = await startApp(t, { allowedHosts: ['app.example', 'Other.example:8443', 'third.example:80'] })
  for (const host of ['app.example', 'app.example:8080', 'other.example:8443', 'third.example']) t.equal(await statusOf(t, notifications('123'), host), 101, host)
  for (const host of ['other.example', 'app.example.attacker.net', 'localhost', '127.0.0.1']) t.equal(await statusOf(t, notifications('123'), host), 403, host)
})

test('fault 100: a page of the same host whose scheme is neither http nor https is refused, unless it is listed', async t => {
  const byDefault = await startApp(t, {})
  for (const scheme of ['chrome-extension', 'capacitor', 'ws', 'ftp']) t.equal(await statusOf(t, byDefault.notifications('123'), 'localhost', scheme), 403, scheme)
  const listed = await startApp(t, { allowedOrigins: ['capacitor://localhost'] })
  t.equal(await statusOf(t, listed.notifications('123'), 'localhost', 'capacitor'), 101)
})

test('allowedHosts has host names, and is left out where allowedOrigins decides', async t => {
  const wrong: Array<[NotificationPluginOptions, RegExp]> = [
    [{ allowedHosts: ['https://app.example'] }, /option 'allowedHosts\.0' must be a host as in 'example.com' or 'example.com:8443'; got/],
    [{ allowedHosts: ['app.example/'] }, /option 'allowedHosts\.0'/],
    [{ allowedHosts: [''] }, /option 'allowedHosts\.0'/],
    [{ allowedHosts: ['app.example'], allowedOrigins: '*' }, /option 'allowedHosts' must be left out where allowedOrigins is given/]
  ]
  for (const [options, message] of wrong) {
    const { app } = createApp(t)
    await t.rejects(Promise.resolve(app.register(notificationPlugin, options)), { code: 'FST_NOTIFICATION_INVALID_OPTION', message })
  }
})

test('a version of ws that does not bound the fragments of a message fails register', async t => {
  const { Receiver } = ws as unknown as { Receiver: new (options: object) => Writable }
  /** Counts no fragments, as ws did before 8.21.1. */
  class OldReceiver extends Receiver {
    constructor (options: object) { super({ ...options, maxFragments: 0 }) }
  }
  class OldWebSocket extends ws.WebSocket {}
  Object.assign(OldWebSocket, { Receiver: OldReceiver })
  const { app } = createApp(t)
  await app.register(websocket, { options: { WebSocket: OldWebSocket } } as object)
  await t.rejects(Promise.resolve(app.register(notificationPlugin, {})), { code: 'FST_NOTIFICATION_WS_TOO_OLD', message: /ws 8\.21\.1 or later/ })
})

test('a Fastify that takes the host from somebody who is no proxy fails register', async t => {
  const app = Fastify() as FastifyInstance
  t.teardown(() => app.close())
  Object.defineProperty(app, 'version', { value: '5.12.0' })
  await t.rejects(Promise.resolve(app.register(notificationPlugin, {})), { code: 'FST_ERR_PLUGIN_VERSION_MISMATCH' })
})

test("a warning names the bounds that the application's own @fastify/websocket lacks", async t => {
  const line = 'the @fastify/websocket of the application lets clients do more than the plugin would: set these of its options'
  const { log } = await startApp(t, {}, async app => { await app.register(websocket, { options: { maxFragments: 16 } as object }) })
  t.match(log.lines.filter(({ msg }) => msg === line), [{ level: 40, options: { maxPayload: 4_096, closeTimeout: 2_000, maxFragments: undefined } }])
  const bounded = await startApp(t, {}, async app => { await app.register(websocket, { options: { maxFragments: 16, maxPayload: 1_024, closeTimeout: 2_000 } as object }) })
  t.notOk(bounded.log.lines.some(({ msg }) => msg === line))
})
