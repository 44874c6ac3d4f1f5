import { EventEmitter, on, once } from 'node:events'
import { connect, type AddressInfo, type Socket } from 'node:net'
import proxy from '@fastify/http-proxy'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import mercurius from 'mercurius'
import { Server } from 'socket.io'
import { io } from 'socket.io-client'
import { test, type Test } from 'tap'
import { WebSocketServer } from 'ws'
import notificationPlugin, { type NotificationPluginOptions, type Notifier } from '../src/index.js'
import { createApp, listen, startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient, refusal, type TestClient } from './support/client.js'
import { eventually } from './support/eventually.js'

/** What stays open is left alone after so long, and a second. */
const options: NotificationPluginOptions = { limits: { upgradeTimeout: 100 } }

const handshake = (path: string) =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`

/** Sends bytes, and reads what comes until the connection ends. */
function send (t: Test, url: string, bytes: string): Socket {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.on('error', () => {}).resume().write(bytes)
  return socket
}

/** The plugin's own route, where a hook of the application hangs. */
const STUCK = '/notification?userId=stuck'

/** An application whose hook leaves one user without an answer. */
function createNeighbourhood (t: Test) {
  const created = createApp(t)
  created.app.addHook('onRequest', async ({ url }) => { if (url === STUCK) await new Promise(() => {}) })
  return created
}

/** Waits until an upgrade that comes now has been ended by the plugin: then those before have had their time too. */
async function untilOverdue (t: Test, at: (path: string) => string): Promise<void> {
  await once(send(t, at('/'), handshake(STUCK)), 'close')
}

async function startUpstream (t: Test): Promise<string> {
  const upstream = Fastify()
  t.teardown(() => upstream.close())
  await upstream.register(websocket)
  upstream.get('/*', { websocket: true }, socket => { socket.on('message', data => socket.send(`upstream: ${data}`)) })
  return await upstream.listen({ port: 0, host: '127.0.0.1' })
}

interface Neighbour {
  /** Adds it to an application. */
  add (t: Test, app: FastifyInstance): Promise<void>
  path: string
  protocol?: string
  send: string
  answer: RegExp
}

const neighbours: Record<string, Neighbour> = {
  '@fastify/websocket in another scope': {
    async add (_t, app) {
      await app.register(async scope => {
        await scope.register(websocket)
        scope.get('/echo', { websocket: true }, socket => { socket.on('message', data => socket.send(`echo: ${data}`)) })
      })
    },
    path: '/echo',
    send: 'hi',
    answer: /^echo: hi$/
  },
  '@fastify/http-proxy': {
    async add (t, app) { await app.register(proxy, { upstream: await startUpstream(t), prefix: '/upstream', websocket: true }) },
    path: '/upstream/a',
    send: 'hi',
    answer: /^upstream: hi$/
  },
  '@fastify/http-proxy of every path': {
    async add (t, app) { await app.register(proxy, { upstream: await startUpstream(t), prefix: '/', websocket: true }) },
    path: '/anything',
    send: 'hi',
    answer: /^upstream: hi$/
  },
  mercurius: {
    async add (_t, app) {
      await app.register(mercurius, {
        schema: 'type Query { a: Int } type Subscription { a: Int }', resolvers: { Query: { a: () => 1 } }, subscription: true
      })
    },
    path: '/graphql',
    protocol: 'graphql-transport-ws',
    send: '{"type":"connection_init"}',
    answer: /"connection_ack"/
  },
  'a WebSocketServer of ws': {
    async add (_t, app) {
      const server = new WebSocketServer({ noServer: true })
      app.server.on('upgrade', (request, socket, head) => {
        if (request.url !== '/ws') return
        server.handleUpgrade(request, socket, head, client => { client.on('message', data => client.send(`ws: ${data}`)) })
      })
      app.addHook('preClose', async () => { for (const client of server.clients) client.terminate() })
    },
    path: '/ws',
    send: 'hi',
    answer: /^ws: hi$/
  },
  'a route that upgrades by itself': {
    async add (_t, app) {
      const server = new WebSocketServer({ noServer: true })
      app.addHook('onRequest', async (request, reply) => {
        if (request.url !== '/own') return
        server.handleUpgrade(request.raw, request.raw.socket, Buffer.alloc(0), client => { client.on('message', data => client.send(`own: ${data}`)) })
        return reply.hijack()
      })
      app.addHook('preClose', async () => { for (const client of server.clients) client.terminate() })
    },
    path: '/own',
    send: 'hi',
    answer: /^own: hi$/
  }
}

const places: Record<string, (app: FastifyInstance, add: () => Promise<void>) => Promise<void>> = {
  'before the plugin': async (app, add) => {
    await add()
    await app.register(notificationPlugin, options)
  },
  'after the plugin': async (app, add) => {
    await app.register(notificationPlugin, options)
    await add()
  },
  'beside the scope of the plugin': async (app, add) => {
    await app.register(async scope => { await scope.register(notificationPlugin, options) })
    await add()
  }
}

for (const [name, neighbour] of Object.entries(neighbours)) {
  for (const [place, register] of Object.entries(places)) {
    // Below the plugin's scope there is one already: that is an error.
    if (name.startsWith('@fastify/websocket') && place.startsWith('after')) continue
    test(`fault 63: the sockets of ${name}, registered ${place}, are not touched`, async t => {
      const { app, log } = createNeighbourhood(t)
      await register(app, async () => await neighbour.add(t, app))
      const { at, notifications } = await listen(app)
      const theirs = await connectClient(t, at(neighbour.path), {}, neighbour.protocol ?? [])
      const exchange = async (count: number) => {
        theirs.socket.send(neighbour.send)
        if (neighbour.protocol === undefined) t.match((await theirs.received(count)).at(-1), neighbour.answer)
      }
      await exchange(1)
      const ours = await connectClient(t, notifications('123'))

      await untilOverdue(t, at)
      t.equal(theirs.socket.readyState, theirs.socket.OPEN)
      t.equal(ours.socket.readyState, ours.socket.OPEN)
      await exchange(2)
      t.match(theirs.messages[0], neighbour.answer)
      t.match(log.lines.filter(({ msg }) => msg === 'upgrade ended'), [{ level: 40, path: '/notification', reason: 'not answered in time' }])
      t.notOk(log.lines.some(({ msg }) => msg === 'websocket upgrade failed'), 'nobody answers an upgrade that another one has')
      await app.close()
      t.equal((await ours.closed).code, 1001)
    })
  }
}

/** Messages of a Socket.IO client and server that use one transport. */
async function viaSocketIo (t: Test, url: string, transports: string[]): Promise<{ answer (): Promise<string>, isConnected (): boolean }> {
  const client = io(url.replace('ws', 'http'), { transports, reconnection: false })
  t.teardown(() => client.close())
  await new Promise<void>((resolve, reject) => { client.once('connect', resolve).once('connect_error', reject) })
  return {
    answer: async () => await client.emitWithAck('question'),
    isConnected: () => client.connected
  }
}

for (const [place, register] of Object.entries(places)) {
  test(`fault 63: the sockets of Socket.IO, attached ${place}, are not touched, also where it answers an upgrade later`, async t => {
    const { app } = createNeighbourhood(t)
    await register(app, async () => {
      const server = new Server(app.server, {
        destroyUpgrade: false,
        allowRequest (_request, callback) { setImmediate(() => setImmediate(callback, null, true)) } // not in the turn in which the upgrade comes
      })
      server.on('connection', socket => socket.on('question', answer => answer('answer')))
      app.addHook('preClose', async () => { server.disconnectSockets(true) })
    })
    const { at, notifications } = await listen(app)
    const theirs = await viaSocketIo(t, at('/'), ['websocket'])
    t.equal(await theirs.answer(), 'answer')
    const ours = await connectClient(t, notifications('123'))
    await untilOverdue(t, at)
    t.ok(theirs.isConnected())
    t.equal(await theirs.answer(), 'answer')
    t.equal(ours.socket.readyState, ours.socket.OPEN)
    t.equal((await refusal(at('/nowhere'))).statusCode, 404, 'what nobody answers is answered by Fastify')
    await app.close()
  })
}

test('fault 63: the plugin in two scopes, with two queues: each has its own users and its own notifier', async t => {
  const broker = await useBroker(t)
  const { app, log } = createNeighbourhood(t)
  const notifiers: Notifier[] = []
  const queues = [broker.queueName(), broker.queueName()]
  for (const [n, queue] of queues.entries()) {
    await app.register(async scope => {
      await scope.register(notificationPlugin, { ...options, amqpUrl: broker.url, queue, path: n === 0 ? '/notification' : '/:tenant/inbox' })
      notifiers.push(scope.notifier)
    })
  }
  const { at, notifications } = await listen(app)
  const clients: TestClient[] = [await connectClient(t, notifications('123')), await connectClient(t, at('/acme/inbox?userId=123'))]
  const exchange = async (count: number) => {
    for (const [n, queue] of queues.entries()) {
      await broker.publish(queue, { userId: '123', content: `${n}` })
      t.same(await clients[n]!.received(count), Array.from({ length: count }, () => `${n}`))
    }
  }
  await exchange(1)
  await untilOverdue(t, at)
  await exchange(2)
  t.same(notifiers.map(({ size }) => size), [1, 1])
  t.equal((await refusal(at('/nowhere'))).statusCode, 404)
  t.notOk(log.lines.some(({ msg }) => msg === 'websocket upgrade failed'))
  await app.close()
  for (const { closed } of clients) t.equal((await closed).code, 1001)
})

test('fault 63: what is on no path of the plugin is not ended, though nobody answers it', async t => {
  const { app, log } = createNeighbourhood(t)
  await app.register(notificationPlugin, options)
  const arrived: string[] = []
  app.server.on('upgrade', request => { arrived.push(request.url!) })
  app.addHook('onRequest', async ({ url }) => { if (url === '/theirs') await new Promise(() => {}) })
  const { at } = await listen(app)
  const theirs = send(t, at('/'), handshake('/theirs'))
  await untilOverdue(t, at)
  await untilOverdue(t, at)
  t.ok(arrived.includes('/theirs'))
  t.notOk(theirs.closed)
  t.same(log.lines.filter(({ msg, path }) => msg === 'upgrade ended' && path !== '/notification'), [])
  await app.close()
})

test('fault 93: upgrades that nobody can answer, on a malformed path or behind another request, keep nobody out', async t => {
  const { app } = createApp(t)
  const events = new EventEmitter()
  app.get('/slow', async () => {
    events.emit('asked')
    await once(events, 'release')
  })
  events.setMaxListeners(0)
  await app.register(notificationPlugin, { limits: { pendingUpgrades: 5, upgradeTimeout: 60_000 } })
  const { at, notifications } = await listen(app)
  for (let n = 0; n < 50; n++) {
    await once(send(t, at('/'), handshake('/%zz')), 'data')
    const asked = once(events, 'asked')
    send(t, at('/'), `GET /slow HTTP/1.1\r\nHost: x\r\n\r\n${handshake('/notification?userId=1')}`)
    await asked
  }
  const good = await connectClient(t, notifications('123'))
  await app.notifier.notify('123', 'hi')
  t.same(await good.received(1), ['hi'])
  events.emit('release')
  await app.close()
})

test('fault 93: upgrades that another listener takes its time to decide about are left to it, also where there are more than the plugin watches', async t => {
  const { app } = createApp(t)
  await app.register(notificationPlugin, { limits: { pendingUpgrades: 1, upgradeTimeout: 60_000 } })
  const server = new WebSocketServer({ noServer: true })
  const undecided: Array<() => void> = []
  app.server.on('upgrade', (request, socket, head) => {
    if (request.url !== '/ws') return
    undecided.push(() => server.handleUpgrade(request, socket, head, client => client.send('welcome')))
    if (undecided.length === 5) for (const open of undecided) open()
  })
  app.addHook('preClose', async () => { for (const client of server.clients) client.terminate() })
  const { at, notifications } = await listen(app)
  const theirs = await Promise.all(Array.from({ length: 5 }, () => connectClient(t, at('/ws'))))
  for (const client of theirs) t.same(await client.received(1), ['welcome'])
  const ours = await connectClient(t, notifications('123'))
  await app.close()
  t.equal((await ours.closed).code, 1001)
})

test('what nobody answers does not keep the application from closing, though others listen for upgrades', async t => {
  const { app } = createApp(t)
  await app.register(notificationPlugin, {})
  const arrived = on(app.server, 'upgrade')
  const { at } = await listen(app)
  for (const path of ['/%zz', '/nowhere', '/notification?userId=1']) {
    send(t, at('/'), handshake(path))
    await arrived.next()
  }
  await app.close()
  t.equal(app.notifier.size, 0)
})

test('fault 93: a client that resets its connection while its upgrade waits behind another request ends no process', async t => {
  const { app } = await startApp(t, {})
  const { port } = app.server.address() as AddressInfo
  for (let times = 0; times < 5; times++) {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    socket.write('GET /nosuch HTTP/1.1\r\nHost: x\r\n\r\n' + handshake('/notification?userId=1'))
    await once(socket, 'data')
    socket.resetAndDestroy()
  }
  await eventually(async () => await new Promise(resolve => app.server.getConnections((_error, count) => resolve(count === 0))), 'all have gone')
  const client = await connectClient(t, `ws://127.0.0.1:${port}/notification?userId=2`)
  t.match(await app.notifier.notify('2', 'still here'), { outcome: 'sent' })
  t.same(await client.received(1), ['still here'])
})
