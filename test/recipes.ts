// The recipes of docs/authentication.md.
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import cookie from '@fastify/cookie'
import jwt from '@fastify/jwt'
import session from '@fastify/session'
import { test } from 'tap'
import notificationPlugin from '../src/index.js'
import { createApp, listen } from './support/app.js'
import { connectClient, refusal } from './support/client.js'
import { connectRaw } from './support/raw-client.js'

declare module '@fastify/jwt' {
  interface FastifyJWT { user: { sub: string } }
}
declare module 'fastify' {
  interface Session { userId: string }
}

const secret = 'a secret of at least thirty-two characters'

test('fault 27: the recipe for a JWT in a cookie lets its user in, and nobody else', async t => {
  const { app } = createApp(t)
  await app.register(cookie)
  await app.register(jwt, { secret, cookie: { cookieName: 'token', signed: false } })
  await app.register(notificationPlugin, {
    async authenticate (request) {
      const { sub, exp } = await request.jwtVerify<{ sub: string, exp: number }>()
      return { userId: sub, expiresAt: exp * 1_000 }
    },
    heartbeat: { interval: 500, timeout: 400 }
  })
  const { at } = await listen(app)
  const connect = (token: string) => ({ headers: { cookie: `token=${token}` } })
  const inSeconds = (seconds: number) => Math.ceil(Date.now() / 1_000) + seconds
  const token = app.jwt.sign({ sub: '123', exp: inSeconds(60) })
  const client = await connectClient(t, at('/notification'), connect(token))
  await app.notifier.notify('123', 'hi')
  t.same(await client.received(1), ['hi'])

  const [header, , signature] = token.split('.')
  const forged = [header, Buffer.from('{"sub":"456","exp":9999999999}').toString('base64url'), signature].join('.')
  const unsigned = [Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url'), Buffer.from('{"sub":"456","exp":9999999999}').toString('base64url'), ''].join('.')
  for (const bad of [forged, unsigned, '', app.jwt.sign({ sub: '123', exp: 1 })]) t.equal((await refusal(at('/notification'), connect(bad))).statusCode, 401)
  t.equal((await refusal(at('/notification'))).statusCode, 401)
  t.equal((await refusal(at('/notification?userId=456'), connect(token))).statusCode, 403)

  const short = await connectClient(t, at('/notification'), connect(app.jwt.sign({ sub: '456', exp: inSeconds(4) })))
  t.equal((await short.closed).code, 4500, 'closed when the token expires')
  t.equal(client.socket.readyState, client.socket.OPEN)
})

test('the recipe for a session lets its user in, and nobody else', async t => {
  const { app } = createApp(t)
  await app.register(cookie)
  await app.register(session, { secret, cookie: { secure: false } })
  await app.register(notificationPlugin, { authenticate: request => request.session.get('userId') as string })
  app.post('/sign-in', async request => { request.session.set('userId', '123') })
  const { at } = await listen(app)
  const { cookies } = await app.inject({ method: 'POST', url: '/sign-in' })
  const headers = { cookie: cookies.map(({ name, value }) => `${name}=${encodeURIComponent(value)}`).join('; ') }

  const client = await connectClient(t, at('/notification'), { headers })
  await app.notifier.notify('123', 'hi')
  t.same(await client.received(1), ['hi'])
  t.equal((await refusal(at('/notification'))).statusCode, 401)
  t.equal((await refusal(at('/notification?userId=456'), { headers })).statusCode, 403)
})

test('the recipe for a single-use ticket in the URL lets its user in once, and nobody else', async t => {
  const { app, log } = createApp(t)
  await app.register(jwt, { secret })
  const tickets = new Map<string, { userId: string, until: number }>()

  app.post('/tickets', { onRequest: request => request.jwtVerify() }, async request => {
    const ticket = randomUUID()
    tickets.set(ticket, { userId: request.user.sub, until: Date.now() + 10_000 })
    return { ticket }
  })

  await app.register(notificationPlugin, {
    authenticate (request) {
      const { ticket = '' } = request.query as { ticket?: string }
      const found = tickets.get(ticket)
      tickets.delete(ticket)
      if (found === undefined || found.until < Date.now()) throw new Error('no such ticket')
      return found.userId
    }
  })
  const { at } = await listen(app)
  const authorization = `Bearer ${app.jwt.sign({ sub: '123' })}`
  const { ticket } = (await app.inject({ method: 'POST', url: '/tickets', headers: { authorization } })).json()

  const client = await connectClient(t, at(`/notification?ticket=${ticket}`))
  await app.notifier.notify('123', 'hi')
  t.same(await client.received(1), ['hi'])
  t.equal((await refusal(at(`/notification?ticket=${ticket}`))).statusCode, 401, 'it works once')
  t.equal((await refusal(at('/notification'))).statusCode, 401)
  t.notMatch(JSON.stringify(log.lines), ticket, 'a ticket is never logged')
})

test('the recipe for a token in Sec-WebSocket-Protocol lets its user in, and nobody else', async t => {
  const { app } = createApp(t)
  await app.register(notificationPlugin, {
    authenticate: request => request.headers['sec-websocket-protocol']?.split(',')[1]?.trim() === 'token-of-123' ? '123' : ''
  })
  const { at } = await listen(app)
  const { head } = await connectRaw(t, at('/notification'), { 'Sec-WebSocket-Protocol': 'notification.v1, token-of-123' })
  t.match(head, /^HTTP\/1.1 101 /)
  t.match(head, /Sec-WebSocket-Protocol: notification\.v1(\r\n|$)/i, 'the token is not sent back')
  // `ws` writes no space after the comma.
  const client = await connectClient(t, at('/notification'), {}, ['notification.v1', 'token-of-123'])
  t.equal(client.socket.protocol, 'notification.v1')
  t.equal(app.notifier.connections('123'), 2)
  t.equal((await refusal(at('/notification'))).statusCode, 401)
})

test('the recipes in the documents are those that are tested here', async t => {
  const read = async (path: string) => await readFile(new URL(`../${path}`, import.meta.url), 'utf8')
  const tested = new Set((await read('test/recipes.ts')).split('\n').map(line => line.trim()))
  // Without a broker, and over plain HTTP, two things are different here.
  const known = ['amqpUrl,', 'queue,', "await app.register(session, { secret, cookie: { secure: 'auto' } })"]
  for (const [path, headings] of [['docs/authentication.md', ['### A JWT in a cookie', '### A session', '### A single-use ticket in the URL']], ['README.md', ['## Who may connect']]] as const) {
    const page = await read(path)
    for (const heading of headings) {
      const recipe = /```ts\n([^]*?)```/.exec(page.split(`\n${heading}\n`)[1]!)![1]!
      t.same(recipe.trim().split('\n').map(line => line.trim()).filter(line => !tested.has(line) && !known.includes(line)), [], `${path}: ${heading}`)
    }
  }
})
