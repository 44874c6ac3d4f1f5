import { once } from 'node:events'
import { connect, type AddressInfo, type Socket } from 'node:net'
import websocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import notificationPlugin, { type NotificationPluginOptions } from '../../src/index.js'
import { createApp, listen } from '../support/app.js'
import { connectClient, refusal } from '../support/client.js'
import { eventually } from '../support/eventually.js'

const UPGRADE = 'Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n'

const handshake = (path: string, method = 'GET', headers = '') => `${method} ${path} HTTP/1.1\r\n${UPGRADE}${headers}\r\n`

/** Sends bytes on a connection of its own. */
function send (t: Test, app: FastifyInstance, bytes: string): Socket {
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.on('error', () => {}).write(bytes)
  return socket
}

/** Reads until the server has ended the connection, and returns the status of its answer. */
async function statusOf (t: Test, app: FastifyInstance, bytes: string): Promise<number> {
  const answer = (await send(t, app, bytes).toArray()).join('')
  return Number(/^HTTP\/1\.1 (\d+) /.exec(answer)?.[1])
}

/** Far longer than a test: nothing here is ended because its time is over. */
const options: NotificationPluginOptions = { limits: { upgradeTimeout: 600_000 } }

const setups: Record<string, (app: FastifyInstance) => unknown> = {
  'the plugin alone': app => app.register(notificationPlugin, options),
  'the plugin in a scope': app => app.register(async scope => { await scope.register(notificationPlugin, options) }),
  '@fastify/websocket of the application': async app => {
    await app.register(websocket)
    await app.register(notificationPlugin, options)
  }
}

const refused: Array<[what: string, status: number, bytes: string]> = [
  ['a malformed path', 400, handshake('/%zz')],
  ['a path without a route', 404, handshake('/nowhere')],
  ['a hook that answers', 418, handshake('/notification?userId=hooked')],
  ['a hook that answers by hand', 402, handshake('/notification?userId=by-hand')],
  ['a body over the limit', 413, handshake('/upload', 'POST', 'Content-Type: application/json\r\nContent-Length: 100000000\r\n')],
  ['an upgrade behind another request', 200, `GET /slow HTTP/1.1\r\nHost: x\r\n\r\n${handshake('/notification?userId=1')}`],
  ['an upgrade of the route that is refused', 400, handshake('/notification')]
]

for (const [setup, register] of Object.entries(setups)) {
  test(`fault 93: a refusal is written, and its socket ended at once: ${setup}`, async t => {
    const { app } = createApp(t)
    app.addHook('onRequest', async (request, reply) => {
      if (request.url.includes('hooked')) return await reply.code(418).send('no')
      if (!request.url.includes('by-hand')) return
      reply.hijack()
      reply.raw.writeHead(402).end('no')
    })
    app.post('/upload', async () => 'uploaded')
    app.get('/slow', async () => {
      await new Promise(resolve => setImmediate(resolve))
      return 'slow'
    })
    await register(app)
    await listen(app)
    for (const [what, status, bytes] of refused) t.equal(await statusOf(t, app, bytes), status, what)
    await eventually(async () => await new Promise(resolve => app.server.getConnections((_error, count) => resolve(count === 0))), 'all have gone')
  })
}

test('fault 93: when all places are taken, who was answered and does not read the answer goes, not who knocks', async t => {
  const { app } = createApp(t)
  app.addHook('onRequest', async ({ url }, reply) => {
    if (url.includes('large')) await reply.code(403).send(Buffer.alloc(64 * 1_024 * 1_024))
  })
  await app.register(notificationPlugin, { limits: { pendingUpgrades: 3, upgradeTimeout: 600_000 } })
  const { notifications } = await listen(app)
  for (let n = 0; n < 10; n++) await once(send(t, app, handshake('/notification?userId=large')), 'readable')
  const good = await connectClient(t, notifications('123'))
  await app.notifier.notify('123', 'hi')
  t.same(await good.received(1), ['hi'])
})

test('fault 93: where all places are taken by those whom a hook keeps waiting, one more is told so, and may come back', async t => {
  const { app } = createApp(t)
  const waiting: Array<() => void> = []
  app.addHook('onRequest', async ({ url }) => { if (url.includes('slow')) await new Promise<void>(resolve => waiting.push(resolve)) })
  await app.register(notificationPlugin, { limits: { pendingUpgrades: 2, upgradeTimeout: 600_000 } })
  const { notifications } = await listen(app)
  const slow = Array.from({ length: 4 }, () => connectClient(t, notifications('slow')))
  await eventually(() => waiting.length === 4, 'all wait')
  const { statusCode, headers, body } = await refusal(notifications('123'))
  t.match({ statusCode, headers, code: JSON.parse(body).code }, { statusCode: 503, headers: { 'retry-after': '5', connection: 'close' }, code: 'FST_NOTIFICATION_TOO_MANY_UPGRADES' })
  for (const answer of waiting) answer()
  await Promise.all(slow)
  await connectClient(t, notifications('123'))
})

test('fault 93: a client that resets its connection while it is refused harms nobody', async t => {
  const { app } = createApp(t)
  app.addHook('onRequest', async () => { await new Promise(() => {}) })
  await app.register(notificationPlugin, { limits: { pendingUpgrades: 1, upgradeTimeout: 600_000 } })
  await listen(app)
  const bytes = handshake('/notification?userId=1')
  for (let n = 0; n < 2; n++) send(t, app, bytes)
  for (let n = 0; n < 60; n++) {
    const socket = send(t, app, bytes)
    socket.write('', () => socket.resetAndDestroy())
    await once(socket, 'close')
  }
  t.equal(await statusOf(t, app, bytes), 503)
})

/** A route that answers when the test says so, and upgrades that wait behind requests of it. */
async function startSlow (t: Test, app: FastifyInstance, limits: NotificationPluginOptions['limits']) {
  const waiting: Array<() => void> = []
  app.get('/slow', async () => { await new Promise<void>(resolve => waiting.push(resolve)) })
  await app.register(notificationPlugin, { limits })
  const { notifications } = await listen(app)
  return {
    notifications,
    answer: () => { for (const answer of waiting.splice(0)) answer() },
    async sendBehind (): Promise<Socket> {
      const before = waiting.length
      const socket = send(t, app, `GET /slow HTTP/1.1\r\nHost: x\r\n\r\n${handshake('/notification?userId=1')}`).resume()
      await eventually(() => waiting.length > before, 'the request is handled')
      return socket
    }
  }
}

test('fault 93: a client that resets its connection before the request in front of its upgrade is answered ends no process', async t => {
  const { app } = createApp(t)
  const { notifications, answer, sendBehind } = await startSlow(t, app, {})
  for (let n = 0; n < 20; n++) {
    const socket = await sendBehind()
    socket.resetAndDestroy()
    await once(socket, 'close')
  }
  answer()
  await eventually(async () => await new Promise(resolve => app.server.getConnections((_error, count) => resolve(count === 0))), 'all have gone')
  await connectClient(t, notifications('123'))
})

test('fault 93: of upgrades behind other requests, which nobody can answer, only the newest are kept', async t => {
  const { app } = createApp(t)
  const { notifications, answer, sendBehind } = await startSlow(t, app, { pendingUpgrades: 1, upgradeTimeout: 600_000 })
  const sockets: Socket[] = []
  for (let n = 0; n < 10; n++) sockets.push(await sendBehind())
  await eventually(() => sockets.slice(0, 8).every(({ closed }) => closed), 'the oldest have gone')
  t.notOk(sockets.slice(8).some(({ closed }) => closed))
  await connectClient(t, notifications('123'))
  answer()
})

test('an upgrade of the route that a hook leaves without an answer is told that its time is over', async t => {
  const { app } = createApp(t)
  app.addHook('onRequest', async ({ url }) => { if (url.includes('stuck')) await new Promise(() => {}) })
  await app.register(notificationPlugin, { limits: { upgradeTimeout: 50 } })
  const { notifications } = await listen(app)
  const { statusCode, body } = await refusal(notifications('stuck'))
  t.match({ statusCode, code: JSON.parse(body).code }, { statusCode: 503, code: 'FST_NOTIFICATION_UPGRADE_TIMEOUT' })
})

test('fault 93: an upgrade of a route that has no WebSocket opens none; the route answers requests as ever', async t => {
  for (const place of ['before', 'after', 'below']) {
    const { app, log } = createApp(t)
    const calls: string[] = []
    const addPlain = (scope: FastifyInstance) => scope.get('/plain', async ({ url }) => {
      calls.push(url)
      return 'plain'
    })
    if (place === 'before') addPlain(app)
    await app.register(notificationPlugin, {})
    if (place === 'after') addPlain(app)
    if (place === 'below') await app.register(async scope => { addPlain(scope) })
    const { at } = await listen(app)
    const { statusCode, body } = await refusal(at('/plain'))
    if (place !== 'before') {
      t.match({ statusCode, code: JSON.parse(body).code }, { statusCode: 404, code: 'FST_NOTIFICATION_NO_WEBSOCKET' }, place)
      t.same(calls, [])
    }
    t.equal((await app.inject('/plain')).body, 'plain')
    t.notOk(log.lines.some(({ msg }) => msg.startsWith('closed incoming websocket connection')))
  }
})
