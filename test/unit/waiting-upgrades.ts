// Upgrades that hooks of the application keep waiting: whose address has most of them gives way.
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { test, type Test } from 'tap'
import { WebSocket } from 'ws'
import notificationPlugin, { type NotificationPluginOptions } from '../../src/index.js'
import { createAddressOf } from '../../src/websocket/client-address.js'
import { listen } from '../support/app.js'
import { connectClient } from '../support/client.js'
import { eventually } from '../support/eventually.js'

type Answer = 'opened' | { statusCode: number, retryAfter: unknown, code: string }

const TOO_MANY: Answer = { statusCode: 503, retryAfter: '5', code: 'FST_NOTIFICATION_TOO_MANY_UPGRADES' }

/** Four upgrades may wait, and nothing is ended because its time is over. */
const limits = { pendingUpgrades: 2, upgradeTimeout: 600_000 }

/** An application whose `onRequest` hook keeps the user `slow` waiting. */
async function startSlow (t: Test, trustProxy: NonNullable<FastifyServerOptions['trustProxy']>, options: NotificationPluginOptions = {}) {
  const app = Fastify({ trustProxy })
  t.teardown(() => app.close())
  const waiting: Array<() => void> = []
  app.addHook('onRequest', async ({ url }) => { if (url.includes('slow')) await new Promise<void>(resolve => waiting.push(resolve)) })
  await app.register(notificationPlugin, { limits, ...options })
  const { notifications } = await listen(app)
  const from = (address: string) => ({ headers: { 'x-forwarded-for': address } })

  async function knock (userId: string, address: string): Promise<Answer> {
    const socket = new WebSocket(notifications(userId), from(address))
    t.teardown(() => socket.terminate())
    socket.on('error', () => {})
    return await new Promise(resolve => {
      socket.once('open', () => resolve('opened'))
      socket.once('unexpected-response', async (request, response) => {
        const body = (await response.toArray()).join('')
        request.destroy()
        resolve({ statusCode: response.statusCode!, retryAfter: response.headers['retry-after'], code: JSON.parse(body).code })
      })
    })
  }

  return {
    app,
    waiting,
    knock,
    connect: (userId: string, address: string) => connectClient(t, notifications(userId), from(address)),
    /** Upgrades that wait, begun one after another. */
    async wait (...addresses: string[]): Promise<Array<Promise<Answer>>> {
      const answers: Array<Promise<Answer>> = []
      for (const address of addresses) {
        const before = waiting.length
        answers.push(knock('slow', address))
        await eventually(() => waiting.length > before, `the upgrade of ${address} waits`)
      }
      return answers
    }
  }
}

for (const [description, trustProxy] of [
  ['true', true], ['an address', '127.0.0.1'], ['ranges', ['10.0.0.0/8', 'loopback']], ['a function', (address: string) => address === '127.0.0.1']
] satisfies Array<[string, FastifyServerOptions['trustProxy']]>) {
  test(`fault 93: upgrades of one /64 that a hook keeps waiting keep nobody else out, where trustProxy is ${description}`, async t => {
    const { app, waiting, wait, connect } = await startSlow(t, trustProxy)
    const slow = await wait('2001:db8::1', '2001:db8::2', '2001:db8::3', '2001:db8::4')
    const other = await connect('123', '2001:db8:0:1::1')
    await app.notifier.notify('123', 'hi')
    t.same(await other.received(1), ['hi'])
    t.same(await slow.pop(), TOO_MANY, 'the newest is refused, and may come back')
    for (const decide of waiting) decide()
    t.same(await Promise.all(slow), ['opened', 'opened', 'opened'], 'the others go on')
  })
}

test('fault 93: addresses share the places, and none gains by taking one more than the others have', async t => {
  const { wait, waiting, knock } = await startSlow(t, true)
  const [a1, a2, a3, b1] = await wait('192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.2')
  const [b2] = await wait('192.0.2.2')
  t.same(await a3, TOO_MANY)
  for (const address of ['192.0.2.1', '192.0.2.2']) t.same(await knock('slow', address), TOO_MANY, `${address} has its half`)
  const [c1] = await wait('192.0.2.3')
  t.same(await a2, TOO_MANY)
  const [d1] = await wait('192.0.2.4')
  t.same(await b2, TOO_MANY)
  t.same(await knock('slow', '192.0.2.5'), TOO_MANY, 'each has one')
  for (const decide of waiting) decide()
  t.same(await Promise.all([a1, b1, c1, d1]), ['opened', 'opened', 'opened', 'opened'])
})

test('fault 93: upgrades of one turn push out one each', async t => {
  const { app, wait, waiting, knock } = await startSlow(t, true)
  const slow = await wait('192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.1')
  const { server } = app
  const { emit } = server
  const held: unknown[][] = []
  server.emit = (event: string, ...args: unknown[]) => event === 'upgrade' ? held.push(args) > 0 : Reflect.apply(emit, server, [event, ...args])
  const others = ['192.0.2.2', '192.0.2.3'].map(address => knock('slow', address))
  await eventually(() => held.length === 2, 'both have come')
  server.emit = emit
  for (const args of held) Reflect.apply(emit, server, ['upgrade', ...args])
  t.same(await Promise.all(slow.slice(2)), [TOO_MANY, TOO_MANY])
  await eventually(() => waiting.length === 6, 'the others wait')
  for (const decide of waiting) decide()
  t.same(await Promise.all([...slow.slice(0, 2), ...others]), ['opened', 'opened', 'opened', 'opened'])
})

for (const [description, trustProxy] of [['unset', false], ['the address of another proxy', '10.0.0.1']] as const) {
  test(`fault 93: where trustProxy is ${description}, nobody is pushed out by what a header says`, async t => {
    const { wait, waiting, knock } = await startSlow(t, trustProxy)
    const slow = await wait('192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.1')
    t.same(await knock('123', '192.0.2.2'), TOO_MANY)
    for (const decide of waiting) decide()
    t.same(await Promise.all(slow), ['opened', 'opened', 'opened', 'opened'])
    t.equal(await knock('123', '192.0.2.2'), 'opened')
  })
}

test('fault 93: who was refused, or has gone, while a hook ran takes no place, and authenticate is not called', async t => {
  const asked: string[] = []
  const { app, wait, waiting, knock } = await startSlow(t, true, {
    async authenticate ({ ip, query }) {
      asked.push(ip)
      return (query as { userId: string }).userId
    }
  })
  const slow = await wait('192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.1')
  t.equal(await knock('123', '192.0.2.2'), 'opened')
  t.same(await slow.pop(), TOO_MANY)
  for (const end of ['end', 'resetAndDestroy'] as const) {
    const before = waiting.length
    const accepted = once(app.server, 'connection')
    const gone = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
    gone.on('error', () => {}).resume()
    gone.write('GET /notification?userId=slow HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.3\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n')
    const [socket] = await accepted as [Socket]
    await eventually(() => waiting.length > before, 'it waits')
    gone[end]()
    await eventually(() => socket.readableEnded || socket.destroyed, 'it has gone')
  }
  for (const decide of waiting.slice(3)) decide() // of who was refused, and of those who have gone
  for (const [n, answer] of slow.entries()) {
    waiting[n]!()
    t.equal(await answer, 'opened')
  }
  t.same(asked, ['192.0.2.2', '192.0.2.1', '192.0.2.1', '192.0.2.1'])
})

test('the address of a client is known before hooks run: it is what request.ip says later', async t => {
  for (const trustProxy of [false, true, '127.0.0.1', '10.0.0.0/8, 127.0.0.1', ['loopback'], (_address: string, hop: number) => hop < 2]) {
    for (const isScoped of [false, true]) {
      const app = Fastify({ trustProxy })
      const add = async (scope: FastifyInstance) => {
        const addressOf = createAddressOf(scope)
        scope.get('/', async ({ raw, ip }) => [addressOf(raw), ip])
      }
      if (isScoped) await app.register(add)
      else await add(app)
      for (const forwarded of [undefined, '192.0.2.1', '192.0.2.1, 10.0.0.1, 10.0.0.2', '::1', 'nonsense']) {
        for (const remoteAddress of ['127.0.0.1', '192.0.2.9', '::1']) {
          const response = await app.inject({ url: '/', remoteAddress, headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded } })
          const [address, ip] = response.json()
          t.equal(typeof ip, 'string')
          t.equal(address, ip, `${remoteAddress}, ${forwarded}, trustProxy ${String(trustProxy)}`)
        }
      }
    }
  }
})

test('an address that can not be known is not taken for another one', async t => {
  const raw = { headers: { 'x-forwarded-for': '192.0.2.1' }, socket: { remoteAddress: '127.0.0.1' } } as unknown as IncomingMessage
  const failing = Fastify({ trustProxy () { throw new Error('of the application') } })
  t.equal(createAddressOf(failing)(raw), undefined)
  t.equal(createAddressOf({} as FastifyInstance)(raw), undefined, 'a Fastify that keeps its class of requests elsewhere')
  t.equal(createAddressOf(Fastify())({ headers: {}, socket: {} } as unknown as IncomingMessage), undefined)
})

test('clients without an address, on a Unix socket and by injectWS, are authenticated as others are', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'upgrades-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const app = Fastify()
  t.teardown(() => app.close())
  let calls = 0
  await app.register(notificationPlugin, {
    limits: { pendingUpgradesPerAddress: 1 },
    allowedOrigins: '*',
    async authenticate () {
      calls++
      await eventually(() => calls >= 2, 'two are decided about at a time')
      return '123'
    }
  })
  await app.listen({ path: join(folder, 's') })
  const [injected] = await Promise.all([
    app.injectWS('/notification', { headers: { origin: 'http://localhost' } }),
    connectClient(t, `ws+unix:${join(folder, 's')}:/notification`)
  ])
  t.teardown(() => injected.terminate())
  t.equal(app.notifier.connections('123'), 2)
})
