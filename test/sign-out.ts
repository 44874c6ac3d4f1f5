// disconnect() of one device, of all devices, for good and to come back; and the recipes of docs/authentication.md.
import { randomUUID } from 'node:crypto'
import cookie from '@fastify/cookie'
import jwt from '@fastify/jwt'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { test } from 'tap'
import { WebSocket } from 'ws'
import notificationPlugin, { type DisconnectOptions } from '../src/index.js'
import { createApp, listen, startApp, type TestApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient, refusal } from './support/client.js'
import { eventually } from './support/eventually.js'
import { startInstances } from './support/instances.js'
import { createClient, next, record } from './support/notification-client.js'
import { startProxy } from './support/proxy.js'

const secret = 'a secret of at least thirty-two characters'
const inSeconds = (seconds: number) => Math.ceil(Date.now() / 1_000) + seconds

/** The user and the session are believed as the query names them. */
function authenticate (request: FastifyRequest) {
  const { userId, session } = request.query as { userId: string, session?: string }
  return { userId, sessionId: session }
}
const device = ({ notifications }: TestApp, userId: string, session: string) => `${notifications(userId)}&session=${session}`

test('disconnect() with a session closes the connections of one device, and no others', async t => {
  const started = await startApp(t, { authenticate, journal: 100 })
  const { app, log, notifications } = started
  const tabs = await Promise.all([1, 2].map(() => connectClient(t, device(started, '123', 'phone-secret'))))
  const others = await Promise.all([device(started, '123', 'laptop'), notifications('123'), device(started, '456', 'phone-secret')].map(url => connectClient(t, url)))

  t.equal(app.notifier.disconnect('123', { sessionId: 'unheard-of' }), 0)
  t.equal(app.notifier.disconnect('123', { sessionId: 'phone-secret' }), 2)
  for (const { closed } of tabs) t.same(await closed, { code: 4502, reason: 'disconnected by the application' })
  t.equal(app.notifier.disconnect('123', { sessionId: 'phone-secret' }), 0)
  await app.notifier.broadcast('still here')
  for (const client of others) t.same(await client.received(1), ['still here'])
  t.match(app.notifier.trace({ userId: '123' }).filter(({ event }) => event === 'closing'), [{ code: 4502 }, { code: 4502 }])
  t.notMatch(JSON.stringify([log.lines, app.notifier.trace()]), 'phone-secret', 'what may be a secret is in no log and no journal')

  t.equal(app.notifier.disconnect('123', {}), 2, 'without a session, all devices')
  for (const { closed } of others.slice(0, 2)) t.match(await closed, { code: 4502 })
})

test('disconnect() with options that are wrong closes nothing', async t => {
  const started = await startApp(t, { authenticate })
  const { app: { notifier } } = started
  await connectClient(t, device(started, '123', 'phone'))
  for (const sessionId of [undefined, null, '', 7, 'x'.repeat(256), 'a\nb', '\ud800']) {
    const message = /^sessionId must be a string of 1 to 255 bytes .*, or left out to disconnect all devices of the user; got /
    t.throws(() => notifier.disconnect('123', { sessionId } as DisconnectOptions), { code: 'FST_NOTIFICATION_INVALID_SESSION_ID', message }, String(sessionId))
  }
  t.throws(() => notifier.disconnect('123', { session: 'phone' } as DisconnectOptions), { code: 'FST_NOTIFICATION_INVALID_CLOSE', message: "the second argument must be a close code or { sessionId, reconnect }; got the member 'session'" })
  t.throws(() => notifier.disconnect('123', { reconnect: 'yes' } as unknown as DisconnectOptions), { code: 'FST_NOTIFICATION_INVALID_CLOSE', message: 'reconnect must be true or false; got a string of 3 bytes' })
  for (const how of [[], new Map([['sessionId', 'phone']]), new Date()]) {
    t.throws(() => notifier.disconnect('123', how as DisconnectOptions), { code: 'FST_NOTIFICATION_INVALID_CLOSE', message: 'the second argument must be a close code or { sessionId, reconnect }; got an object of another kind' })
  }
  t.throws(() => (notifier.disconnect as (userId: string, how: object, reason: string) => number)('123', {}, 'why'), { code: 'FST_NOTIFICATION_INVALID_CLOSE', message: 'the third argument must be left out beside { sessionId, reconnect }; got a string of 3 bytes' })
  t.equal(notifier.connections('123'), 1)
})

test('an authenticate that returns a session of another form lets nobody in, and the log says why', async t => {
  let sessionId: unknown
  const { log, notifications } = await startApp(t, { authenticate: () => ({ userId: '123', sessionId: sessionId as string }) })
  for (sessionId of [null, '', 7, 'x'.repeat(256)]) t.equal((await refusal(notifications('123'))).statusCode, 500, String(sessionId))
  t.match(JSON.stringify(log.lines), 'authenticate returned an invalid sessionId: it must be a string of 1 to 255 bytes')
})

test('a client that is disconnected to come back asks for new credentials, and is let in with these', async t => {
  const { app, at } = await startApp(t, { authenticate })
  let sessions = 0
  const client = createClient(t, () => at(`/notification?userId=123&session=${++sessions}`))
  const events = record(client)
  await next(client, 'open')
  t.equal(app.notifier.disconnect('123', { sessionId: '1', reconnect: true }), 1)
  await next(client, 'open')
  t.match(events, [/^open/, 'close 4500 new credentials are needed, will reconnect', /^open/])
  t.equal(app.notifier.disconnect('123', { sessionId: '1' }), 0, 'its session is another one')
  const ended = next(client, 'ended')
  t.equal(app.notifier.disconnect('123', { sessionId: '2' }), 1)
  t.match(await ended, { code: 4502 })
  t.equal(sessions, 2, 'who is signed out asks for nothing')
})

test('a session is disconnected on all instances, and the other sessions of its user on none', async t => {
  const { broker, queue, apps } = await startInstances(t, 2, { authenticate })
  const [one, two] = apps as [TestApp, TestApp]
  const spy = await broker.channel.assertQueue('', { exclusive: true })
  await broker.channel.bindQueue(spy.queue, `${queue}.relay`, '')
  const kinds: string[] = []
  await broker.channel.consume(spy.queue, message => kinds.push(JSON.parse(String(message!.content)).kind), { noAck: true })

  const [phone, laptop] = await Promise.all(['phone', 'laptop'].map(session => connectClient(t, device(two, '123', session))))
  await eventually(() => two.app.notifier.connections('123') === 2, 'both are welcomed')
  t.equal(one.app.notifier.disconnect('123', { sessionId: 'phone' }), 0)
  t.match(await phone!.closed, { code: 4502 })
  await one.app.notifier.notify('123', 'still here')
  t.same(await laptop!.received(1), ['still here'])
  await eventually(() => kinds.includes('signout'), 'the frame is seen')
  t.notOk(kinds.includes('disconnect'), 'an instance of an older version would close all devices')
  one.app.notifier.disconnect('123', { reconnect: true })
  t.same(await laptop!.closed, { code: 4500, reason: 'new credentials are needed' })
})

test('a session that is disconnected while the broker is away is disconnected on the other instances when it is back', async t => {
  const broker = await useBroker(t)
  const proxy = await startProxy(t, broker.url)
  const options = { queue: broker.queueName(), cluster: true, authenticate }
  t.teardown(() => broker.channel.deleteExchange(`${options.queue}.relay`))
  const one = await startApp(t, { ...options, amqpUrl: proxy.through(broker.url) })
  const two = await startApp(t, { ...options, amqpUrl: broker.url })
  const [phone, laptop, other] = await Promise.all([device(two, '123', 'phone'), device(two, '123', 'laptop'), device(two, '123', 'tablet')].map(url => connectClient(t, url)))
  await eventually(() => two.app.notifier.connections('123') === 3, 'all are welcomed')
  proxy.reset('publisher')
  await one.log.line('broker publisher connecting')
  one.app.notifier.disconnect('123', { sessionId: 'phone' })
  one.app.notifier.disconnect('123', { sessionId: 'laptop', reconnect: true })
  t.match(await phone!.closed, { code: 4502 })
  t.match(await laptop!.closed, { code: 4500 }, 'one does not replace the other')
  await two.app.notifier.notify('123', 'still here')
  t.same(await other!.received(1), ['still here'])
})

/** A WebSocket that sends a cookie, as that of a browser does. */
function withCookie (tokenOf: () => string) {
  return class extends WebSocket {
    constructor (url: string, protocols: string[]) {
      super(url, protocols, { headers: { cookie: `token=${tokenOf()}` } })
    }
  }
}

/** Signs in by the route of a recipe, and returns the header of the cookie. */
async function signIn (app: FastifyInstance, payload: object) {
  const { cookies: [set] } = await app.inject({ method: 'POST', url: '/sign-in', payload })
  return { headers: { cookie: `${set!.name}=${set!.value}` } }
}

test('the recipe for signing out: one device, and everywhere', async t => {
  const { app } = createApp(t)
  await app.register(cookie)
  await app.register(jwt, { secret, cookie: { cookieName: 'token', signed: false } })
  app.post('/sign-in', async (request, reply) => {
    const { sub } = request.body as { sub: string } // after the check of a password
    const sid = randomUUID()
    sessions.set(sid, sub)
    return reply.setCookie('token', app.jwt.sign({ sub, sid, exp: inSeconds(60) })).send()
  })

  const sessions = new Map<string, string>() // the user of each session

  await app.register(notificationPlugin, {
    async authenticate (request) {
      const { sub, sid, exp } = await request.jwtVerify<{ sub: string, sid: string, exp: number }>()
      if (sessions.get(sid) !== sub) throw new Error('signed out')
      return { userId: sub, sessionId: sid, expiresAt: exp * 1_000 }
    }
  })

  app.post('/sign-out', { onRequest: request => request.jwtVerify() }, async ({ user: { sub, sid } }, reply) => {
    sessions.delete(sid) // first: whoever connects from now on is refused
    app.notifier.disconnect(sub, { sessionId: sid })
    return reply.clearCookie('token').send()
  })

  app.post('/sign-out-everywhere', { onRequest: request => request.jwtVerify() }, async ({ user: { sub } }, reply) => {
    for (const [sid, user] of sessions) if (user === sub) sessions.delete(sid)
    app.notifier.disconnect(sub)
    return reply.clearCookie('token').send()
  })

  const { at } = await listen(app)
  const url = at('/notification')
  const [phone, laptop, tablet, somebody] = await Promise.all(['123', '123', '123', '456'].map(sub => signIn(app, { sub })))
  const clients = await Promise.all([phone, laptop, tablet, somebody].map(headers => connectClient(t, url, headers)))
  const post = async (path: string, { headers }: typeof phone & object) => await app.inject({ method: 'POST', url: path, headers })

  t.equal((await post('/sign-out', phone!)).statusCode, 200)
  t.match(await clients[0]!.closed, { code: 4502 })
  t.equal((await refusal(url, phone)).statusCode, 401, 'its cookie is not expired, and not accepted')
  t.equal(app.notifier.connections('123'), 2)

  t.equal((await post('/sign-out-everywhere', laptop!)).statusCode, 200)
  for (const { closed } of clients.slice(1, 3)) t.match(await closed, { code: 4502 })
  t.equal((await refusal(url, tablet)).statusCode, 401)
  t.equal(app.notifier.connections('456'), 1, 'nobody else is concerned')
  await connectClient(t, url, await signIn(app, { sub: '123' }))
})

test('the recipe for a session that expires, with a cookie: the client renews it and comes back', async t => {
  const { app } = createApp(t)
  await app.register(cookie)
  await app.register(jwt, { secret, cookie: { cookieName: 'token', signed: false } })
  await app.register(notificationPlugin, {
    async authenticate (request) {
      const { sub, exp } = await request.jwtVerify<{ sub: string, exp: number }>()
      return { userId: sub, expiresAt: exp * 1_000 }
    }
  })
  const { at } = await listen(app)
  let renewals = 0
  const client = createClient(t, async () => {
    renewals++
    return at('/notification')
  }, { WebSocket: withCookie(() => app.jwt.sign({ sub: '123', exp: inSeconds(renewals === 1 ? 4 : 600) })) })
  const events = record(client)
  await next(client, 'open')
  await next(client, 'open')
  t.match(events, [/^open/, 'close 4500 credentials expired, will reconnect', /^open/])
  t.equal(renewals, 2)
})

test('the recipe for a replaced secret: tokens of the old one are accepted for a while, or nobody of theirs stays', async t => {
  let OLD_SECRET = secret
  const NEW_SECRET = `new: ${secret}`
  const { app: before } = createApp(t)
  await before.register(jwt, { secret: OLD_SECRET })
  await before.ready()
  const { app } = createApp(t)
  await app.register(cookie)
  await app.register(jwt, { secret: NEW_SECRET, cookie: { cookieName: 'token', signed: false } })

  async function verify (request: FastifyRequest) {
    try {
      return await request.jwtVerify<{ sub: string, exp: number }>()
    } catch {
      return await request.jwtVerify<{ sub: string, exp: number }>({ key: OLD_SECRET })
    }
  }

  await app.register(notificationPlugin, {
    async authenticate (request) {
      const { sub, exp } = await verify(request)
      return { userId: sub, expiresAt: exp * 1_000 }
    }
  })
  const { at } = await listen(app)
  const claims = { sub: '123', exp: inSeconds(60) }
  const headers = (token: string) => ({ headers: { cookie: `token=${token}` } })
  const old = await connectClient(t, at('/notification'), headers(before.jwt.sign(claims)))
  await connectClient(t, at('/notification'), headers(app.jwt.sign(claims)))
  t.equal((await refusal(at('/notification'), headers('forged'))).statusCode, 401)

  OLD_SECRET = 'forgotten, as by a program that does not know it'
  const clients = [createClient(t, () => at('/notification'), { WebSocket: withCookie(() => before.jwt.sign(claims)) }), createClient(t, () => at('/notification'), { WebSocket: withCookie(() => app.jwt.sign(claims)) })]
  const ended = next(clients[0]!, 'ended')
  await next(clients[1]!, 'open')
  t.match(await ended, { code: 4501 }, 'who has an old token, and gets no new one, is told')
  const again = next(clients[1]!, 'open')
  for (const userId of app.notifier.users) app.notifier.disconnect(userId, { reconnect: true })
  t.match(await old.closed, { code: 4500 })
  await again
})
