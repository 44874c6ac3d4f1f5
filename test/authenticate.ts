import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'tap'
import type { Authenticate } from '../src/index.js'
import { startApp, warningsIn } from './support/app.js'
import { connectClient, refusal } from './support/client.js'
import { eventually } from './support/eventually.js'
import { connectRaw } from './support/raw-client.js'

const byHeader: Authenticate = request => {
  const { authorization } = request.headers
  if (authorization === undefined) throw new Error('no credentials: hush')
  return authorization
}
const as = (authorization: string) => ({ headers: { authorization } })

test('without the option authenticate, a warning at start says that any client can read everything', async t => {
  const { log } = await startApp(t, {})
  const warnings = log.lines.filter(({ level, msg }) => level === 40 && !msg.startsWith('limits.connections'))
  t.match(warnings, [{ msg: /any client can read the notifications of any user/ }])
  t.equal(warnings.length, 1)
  const secure = await startApp(t, { authenticate: byHeader })
  t.same(warningsIn(secure.log), [])
})

test('fault 27: the verified user is served, and nobody else; others are refused before the upgrade', async t => {
  const { app, at, notifications, log } = await startApp(t, { authenticate: byHeader })
  const named = await connectClient(t, notifications('123'), as('123'))
  const unnamed = await connectClient(t, at('/notification'), as('123'))
  await app.notifier.notify('123', 'yours')
  t.same(await named.received(1), ['yours'])
  t.same(await unnamed.received(1), ['yours'])

  const refused = async (url: string, authorization?: string) => {
    const { statusCode, body } = await refusal(url, authorization === undefined ? {} : as(authorization))
    t.notMatch(body, 'hush')
    return { statusCode, code: JSON.parse(body).code }
  }
  t.same(await refused(notifications('123')), { statusCode: 401, code: 'FST_NOTIFICATION_UNAUTHENTICATED' })
  t.same(await refused(notifications('123'), '456'), { statusCode: 403, code: 'FST_NOTIFICATION_FORBIDDEN_USER' })
  t.same(await refused(at('/notification?userId='), '456'), { statusCode: 400, code: 'FST_NOTIFICATION_INVALID_USER_ID' })
  t.equal(app.notifier.size, 2)
  t.ok(log.lines.some(({ msg }) => msg === 'client connected'))
})

for (const [what, identity, statusCode, code] of [
  ['undefined', undefined, 401, 'FST_NOTIFICATION_UNAUTHENTICATED'],
  ['null', null, 401, 'FST_NOTIFICATION_UNAUTHENTICATED'],
  ['an empty string', '', 401, 'FST_NOTIFICATION_UNAUTHENTICATED'],
  ['a number', 7, 500, 'FST_NOTIFICATION_INVALID_IDENTITY'],
  ['an object without a user', {}, 500, 'FST_NOTIFICATION_INVALID_IDENTITY'],
  ['an invalid user id', 'a\n', 500, 'FST_NOTIFICATION_INVALID_IDENTITY'],
  ['an invalid time', { userId: '123', expiresAt: 'tomorrow' }, 500, 'FST_NOTIFICATION_INVALID_IDENTITY'],
  ['an invalid Date', { userId: '123', expiresAt: new Date(NaN) }, 500, 'FST_NOTIFICATION_INVALID_IDENTITY'],
  ['the seconds of a JWT', { userId: '123', expiresAt: Math.floor(Date.now() / 1_000) + 3_600 }, 500, 'FST_NOTIFICATION_INVALID_IDENTITY'],
  ['a Date of the seconds of a JWT', { userId: '123', expiresAt: new Date(Math.floor(Date.now() / 1_000)) }, 500, 'FST_NOTIFICATION_INVALID_IDENTITY'],
  ['credentials that have expired', { userId: '123', expiresAt: new Date(0) }, 401, 'FST_NOTIFICATION_UNAUTHENTICATED']
] as const) {
  test(`authenticate returns ${what}: refused with ${statusCode}`, async t => {
    const { app, notifications } = await startApp(t, { authenticate: async () => identity as unknown as string })
    const answer = await refusal(notifications('123'))
    t.equal(answer.statusCode, statusCode)
    t.equal(JSON.parse(answer.body).code, code)
    t.equal(app.notifier.size, 0)
  })
}

const v1 = ['notification.v1']

for (const [what, authenticate, code, reason] of [
  ['without credentials', () => undefined as unknown as string, 4501, 'not authenticated'],
  ['with expired credentials', () => ({ userId: '123', expiresAt: new Date(0) }), 4501, 'not authenticated'],
  ['that the application refuses with 401', () => { throw Object.assign(new Error('hush'), { statusCode: 401 }) }, 4501, 'not authenticated'],
  ['of somebody else', () => '456', 4503, 'not allowed'],
  ['that the application refuses with 451', () => { throw Object.assign(new Error('hush'), { statusCode: 451 }) }, 4503, 'not allowed']
] as const) {
  test(`fault 71: a client of notification.v1 ${what} is accepted, and closed at once with ${code}`, async t => {
    const { app, notifications, log } = await startApp(t, { authenticate })
    const client = await connectClient(t, notifications('123'), {}, v1)
    t.equal(client.socket.protocol, 'notification.v1')
    t.same(await client.closed, { code, reason })
    t.same(client.messages, [], 'no welcome')
    t.match(await log.line('client denied'), { level: 30, closeCode: code })
    t.notOk(log.lines.some(({ msg }) => msg === 'client connected'))
    t.equal(app.notifier.size, 0)
    t.ok((await refusal(notifications('123'))).statusCode >= 400, 'a plain client sees the status')
  })
}

test('fault 71: errors that pass are answered with their status, so that the client tries again', async t => {
  const statuses = [408, 425, 429, 502]
  const { notifications } = await startApp(t, { authenticate () { throw Object.assign(new Error('later'), { statusCode: statuses[0] }) } })
  for (; statuses.length > 0; statuses.shift()) t.equal((await refusal(notifications('123'), {}, v1)).statusCode, statuses[0])
})

test('fault 71: a denied client can do nothing more, and only so many of them may be closing', async t => {
  const { app, notifications } = await startApp(t, { authenticate: () => { throw new Error('nobody') }, limits: { pendingUpgrades: 2, connections: 1 } })
  const closed = (client: Awaited<ReturnType<typeof connectRaw>>) => new Promise(resolve => client.socket.once('close', resolve))
  const silent = await Promise.all([1, 2].map(() => connectRaw(t, notifications('123'), { 'Sec-WebSocket-Protocol': 'notification.v1' })))
  for (const client of silent) t.equal(await client.closed, 4501)
  t.equal((await refusal(notifications('123'), {}, v1)).statusCode, 401, 'there is no room for a third')
  const order: number[] = []
  const ends = silent.map(async (client, n) => {
    await closed(client)
    order.push(n)
  })
  silent[1]!.send(1, '{"type":"ping"}')
  await Promise.all(ends)
  t.same(order, [1, 0], 'the one that sends anything at once, the other one because it does not answer the close frame')
  const another = await connectClient(t, notifications('123'), {}, v1)
  t.equal((await another.closed).code, 4501)
  t.equal(app.notifier.size, 0)
})

test('expiresAt in seconds is answered with what to do, not as expired', async t => {
  const { notifications } = await startApp(t, { authenticate: () => ({ userId: '123', expiresAt: Math.floor(Date.now() / 1_000) + 3_600 }) })
  t.match(JSON.parse((await refusal(notifications('123'))).body).message, /expiresAt: it is in seconds, .*; multiply by 1000/)
})

test('an error of authenticate that has a status of 400 to 499 is answered with that status', async t => {
  const { notifications } = await startApp(t, {
    authenticate () { throw Object.assign(new Error('not in this country'), { statusCode: 451 }) }
  })
  t.equal((await refusal(notifications('123'))).statusCode, 451)
})

test('what goes wrong in authenticate is told neither to who asks nor to the log', async t => {
  const thrown = [new Error('token hush'), 'token hush', Object.assign(new Error('token hush'), { statusCode: 502 }), undefined]
  const { log, notifications } = await startApp(t, { authenticate () { throw thrown.shift() } })
  for (const status of [401, 401, 502, 401]) {
    const { statusCode, body } = await refusal(notifications('123'))
    t.equal(statusCode, status)
    t.notMatch(body, 'hush')
  }
  t.notMatch(JSON.stringify(log.lines), 'hush')
})

test("the application's hooks run before authenticate, as on any route", async t => {
  const { app, at } = await startApp(t, { authenticate: request => (request as unknown as { who: string }).who }, app => {
    app.decorateRequest('who', '')
    app.addHook('preValidation', async (request, reply) => {
      if (request.headers.authorization === undefined) return await reply.code(402).send({ pay: 'first' })
      Object.assign(request, { who: request.headers.authorization })
    })
  })
  t.equal((await refusal(at('/notification'))).statusCode, 402)
  const client = await connectClient(t, at('/notification'), as('123'))
  await app.notifier.notify('123', 'hi')
  t.same(await client.received(1), ['hi'])
})

test('fault 28: when the credentials expire the connection is closed with 4500, and nothing arrives after', async t => {
  let expiresAt = 0
  const { app, at } = await startApp(t, {
    authenticate () {
      expiresAt = Date.now() + 3_000
      return { userId: '123', expiresAt }
    },
    heartbeat: { interval: 500, timeout: 400 }
  })
  const client = await connectClient(t, at('/notification'))
  const sending = setInterval(() => app.notifier.notify('123', String(Date.now())), 5)
  t.teardown(() => clearInterval(sending))
  t.same(await client.closed, { code: 4500, reason: 'credentials expired' })
  const ended = Date.now()
  t.ok(client.messages.length > 0, 'it was served before')
  t.ok(client.messages.every(time => Number(time) < expiresAt))
  t.ok(ended >= expiresAt && ended < expiresAt + 20_000, `closed ${ended - expiresAt} ms after`)
})

test('fault 25: who leaves while authenticate is pending is never registered', async t => {
  const pending: Array<() => void> = []
  const { app, notifications } = await startApp(t, { authenticate: () => new Promise(resolve => pending.push(() => resolve('123'))) })
  const { port, pathname, search } = new URL(notifications('123'))
  const socket = connect(Number(port), '127.0.0.1')
  socket.on('error', () => {})
  socket.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`)
  await eventually(() => pending.length === 1, 'authenticate is asked')
  const gone = new Promise(resolve => app.server.getConnections((_error, count) => resolve(count)))
  t.equal(await gone, 1)
  socket.resetAndDestroy()
  await once(socket, 'close')
  await eventually(() => new Promise(resolve => app.server.getConnections((_error, count) => resolve(count === 0))), 'the server has seen it')
  pending[0]!()
  await new Promise(resolve => setImmediate(resolve))
  t.equal(app.notifier.size, 0)
})

test('an authenticate that hangs is given up with 503, and few wait in it at a time', async t => {
  const { app, notifications } = await startApp(t, { authenticate: () => new Promise(() => {}), limits: { pendingUpgrades: 2, upgradeTimeout: 2_000 } })
  const answers = await Promise.all([1, 2, 3, 4].map(() => refusal(notifications('123'))))
  const codes = answers.map(({ body }) => JSON.parse(body).code).sort()
  t.same(codes, ['FST_NOTIFICATION_TOO_MANY_UPGRADES', 'FST_NOTIFICATION_TOO_MANY_UPGRADES', 'FST_NOTIFICATION_UPGRADE_TIMEOUT', 'FST_NOTIFICATION_UPGRADE_TIMEOUT'])
  for (const { statusCode, headers } of answers) t.match({ statusCode, headers }, { statusCode: 503, headers: { 'retry-after': '5' } })
  t.equal(app.notifier.size, 0)
})

test('a decision about the origin that never comes is given up with 503', async t => {
  const { notifications } = await startApp(t, { allowedOrigins: () => new Promise(() => {}), limits: { pendingUpgrades: 1, upgradeTimeout: 200 } })
  const answers = await Promise.all([1, 2].map(() => refusal(notifications('123'), { headers: { origin: 'https://example.com' } })))
  t.same(answers.map(({ statusCode }) => statusCode), [503, 503])
})

const headers = 'Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'

for (const [what, request] of [
  ['with a malformed URL', `GET /%ZZ HTTP/1.1\r\n${headers}`],
  ['behind another request', `GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /notification?userId=1 HTTP/1.1\r\n${headers}`]
] as const) {
  test(`an upgrade ${what} holds its socket no longer than others, and does not keep the application from closing`, async t => {
    const { app, at } = await startApp(t, { limits: { upgradeTimeout: 100, pendingUpgrades: 2 } }, app => {
      app.get('/slow', async () => { await new Promise(resolve => setTimeout(resolve, 50)) })
    })
    const { port } = new URL(at('/'))
    const open = () => {
      const socket = connect(Number(port), '127.0.0.1')
      t.teardown(() => socket.destroy())
      socket.on('error', () => {}).write(request)
      return socket
    }
    const first = open()
    await Promise.all([once(first, 'close'), first.resume()])
    const more = Array.from({ length: 10 }, open)
    await Promise.all(more.slice(0, 6).map(socket => socket.resume()))
    await app.close()
    t.pass('closed')
  })
}
