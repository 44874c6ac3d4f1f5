// The recipes of docs/authentication.md, and the one for production of docs/recipes.md.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import cookie from '@fastify/cookie'
import jwt from '@fastify/jwt'
import session from '@fastify/session'
import { test, type Test } from 'tap'
import notificationPlugin from '../src/index.js'
import { createApp, listen } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient, refusal } from './support/client.js'
import { eventually } from './support/eventually.js'
import { startProgram } from './support/process.js'
import { connectRaw } from './support/raw-client.js'
import { usePrivateRedis } from './support/redis.js'

declare module '@fastify/jwt' {
  interface FastifyJWT { user: { sub: string, sid: string, exp: number } }
}
declare module 'fastify' {
  interface Session { userId: string }
}

const secret = 'a secret of at least thirty-two characters'
const read = async (path: string) => await readFile(new URL(`../${path}`, import.meta.url), 'utf8')

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
  const tickets = new Map<string, { userId: string, expiresAt: number, until: number }>()

  app.post('/tickets', { onRequest: request => request.jwtVerify() }, async ({ user: { sub, exp } }) => {
    const ticket = randomUUID()
    tickets.set(ticket, { userId: sub, expiresAt: exp * 1_000, until: Date.now() + 10_000 })
    return { ticket }
  })

  await app.register(notificationPlugin, {
    authenticate (request) {
      const { ticket = '' } = request.query as { ticket?: string }
      const found = tickets.get(ticket)
      tickets.delete(ticket)
      if (found === undefined || found.until < Date.now()) throw new Error('no such ticket')
      return { userId: found.userId, expiresAt: found.expiresAt } // the connection ends with the session, not with the ticket
    },
    heartbeat: { interval: 500, timeout: 400 }
  })
  const { at } = await listen(app)
  const authorization = `Bearer ${app.jwt.sign({ sub: '123', exp: Math.ceil(Date.now() / 1_000) + 6 })}`
  const { ticket } = (await app.inject({ method: 'POST', url: '/tickets', headers: { authorization } })).json()

  const client = await connectClient(t, at(`/notification?ticket=${ticket}`))
  await app.notifier.notify('123', 'hi')
  t.same(await client.received(1), ['hi'])
  t.equal((await refusal(at(`/notification?ticket=${ticket}`))).statusCode, 401, 'it works once')
  t.equal((await refusal(at('/notification'))).statusCode, 401)
  t.notMatch(JSON.stringify(log.lines), ticket, 'a ticket is never logged')
  t.match(await client.closed, { code: 4500 }, 'closed when the session ends')
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

/** The program of the recipe for production, once it listens: first on its internal port, then on that for clients. */
async function startProduction (t: Test, env: NodeJS.ProcessEnv) {
  const program = startProgram(t, 'example/production.ts', [], { ...env, PORT: '0', INTERNAL_PORT: '0' })
  const [internal, clients] = await new Promise<string[]>((resolve, reject) => {
    let output = ''
    program.stdout!.on('data', (text: string) => {
      output += text
      const ports = [...output.matchAll(/Server listening at http:\/\/127\.0\.0\.1:(\d+)/g)].map(([, port]) => port!)
      if (ports.length === 2) resolve(ports)
    })
    program.on('exit', code => reject(new Error(`example/production.ts ended with ${code}`)))
  })
  return {
    program,
    notifications: `ws://127.0.0.1:${clients}/notification`,
    get: async (path: string) => await fetch(`http://127.0.0.1:${internal}${path}`)
  }
}

test('the recipe for production is the example, and each part of it does what it is for, on two instances', async t => {
  t.equal(/```ts\n([^]*?)```/.exec((await read('docs/recipes.md')).split('\n## In production\n')[1]!)![1], await read('example/production.ts'))

  const [broker, redis] = await Promise.all([useBroker(t), usePrivateRedis(t)])
  const queue = broker.queueName()
  const env = { AMQP_URL: broker.url, QUEUE: queue, REDIS_URL: redis.url, JWT_SECRET: secret }
  const [first, second] = await Promise.all([startProduction(t, env), startProduction(t, env)])
  for (const { get } of [first, second]) {
    t.equal((await get('/live')).status, 200)
    await eventually(async () => (await get('/ready')).status === 200, 'it is ready')
  }
  await eventually(async () => (await (await first.get('/metrics')).text()).includes('fastify_notification_peers 1\n'), 'the instances know each other')

  const { app } = createApp(t)
  await app.register(jwt, { secret })
  await app.ready()
  async function connect (url: string, user: string) {
    const token = app.jwt.sign({ sub: user, exp: Math.ceil(Date.now() / 1_000) + 600 })
    const client = await connectClient(t, url, { headers: { cookie: `token=${token}` } }, 'notification.v1')
    t.match(JSON.parse((await client.received(1))[0]!), { type: 'welcome' })
    return client
  }
  async function receive (client: Awaited<ReturnType<typeof connect>>, frame: { id: string, content: string }) {
    // The one who comes back may be told first what was dismissed meanwhile.
    const frames = () => client.messages.map(text => JSON.parse(text) as { type: string }).filter(({ type }) => type === 'notification')
    await eventually(() => frames().length === 1, 'it has arrived')
    t.match(frames(), [{ type: 'notification', ...frame }])
    client.socket.send(JSON.stringify({ type: 'ack', ids: [frame.id] }))
  }
  /** A counter of both instances together. */
  async function counted (sample: string) {
    const pages = await Promise.all([first, second].map(async ({ get }) => await (await get('/metrics')).text()))
    return pages.reduce((sum, page) => sum + Number(page.split('\n').find(line => line.startsWith(`${sample} `))?.split(' ')[1] ?? 0), 0)
  }

  t.equal((await refusal(first.notifications)).statusCode, 401, 'nobody gets in without a cookie')
  const ada = await connect(first.notifications, 'ada')
  const bob = await connect(second.notifications, 'bob')
  await broker.publish(queue, { userId: 'ada', content: 'hello', id: 'a-1' }, { userId: 'bob', content: 'hello', id: 'b-1' }, { userId: 'grace', content: 'welcome back', id: 'g-1' })
  await Promise.all([receive(ada, { id: 'a-1', content: 'hello' }), receive(bob, { id: 'b-1', content: 'hello' })])
  await eventually(async () => await counted('fastify_notification_messages_total{outcome="acknowledged"}') === 2, 'both are acknowledged')
  // What comes while the hold of a user who has just connected is looked into goes through the hold.
  const isHeld = async () => await counted('fastify_notification_messages_total{outcome="held"}') - await counted('fastify_notification_released_total') === 1
  await eventually(isHeld, 'that of the absent user is held')
  t.equal(await counted('fastify_notification_relayed_total'), 1, 'one of them by way of the other instance')
  t.match(await (await first.get('/trace/ada')).json(), [{ event: 'connected', userId: 'ada' }])

  first.program.kill('SIGTERM')
  const ended = once(first.program, 'exit')
  t.equal((await ada.closed).code, 1001, 'its clients are told to come back')
  t.same(await ended, [0, null], 'it ends by itself')
  await receive(await connect(second.notifications, 'grace'), { id: 'g-1', content: 'welcome back' })
  const adaAgain = await connect(second.notifications, 'ada')
  await broker.publish(queue, { userId: 'ada', content: 'still here', id: 'a-2' })
  await receive(adaAgain, { id: 'a-2', content: 'still here' })
})

test('the recipes in the documents are those that are tested here', async t => {
  const tested = new Set((await Promise.all(['test/recipes.ts', 'test/sign-out.ts'].map(read))).join('\n').split('\n').map(line => line.trim()))
  // Without a broker, and over plain HTTP, two things are different here.
  const known = ['amqpUrl,', 'queue,', "await app.register(session, { secret, cookie: { secure: 'auto' } })"]
  for (const [path, headings] of [['docs/authentication.md', ['### A JWT in a cookie', '### A session', '### A single-use ticket in the URL', '### Sign out one device, or everywhere', '### A replaced secret']], ['README.md', ['## Who may connect']]] as const) {
    const page = await read(path)
    for (const heading of headings) {
      const recipe = [...page.split(`\n${heading}\n`)[1]!.split(/^##/m)[0]!.matchAll(/```ts\n([^]*?)```/g)].map(([, code]) => code).join('\n')
      t.ok(recipe, heading)
      t.same(recipe.trim().split('\n').map(line => line.trim()).filter(line => !tested.has(line) && !known.includes(line)), [], `${path}: ${heading}`)
    }
  }
})
