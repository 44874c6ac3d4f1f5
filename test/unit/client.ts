import { getEventListeners } from 'node:events'
import { test } from 'tap'
import { WebSocket } from 'ws'
import { NotificationClient } from '../../src/client/index.js'
import { createClient, next, record } from '../support/notification-client.js'
import { startNotificationServer } from '../support/notification-server.js'

test('the client connects by the subprotocol, and its events say what happens', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const events = record(client)
  t.equal(client.state, 'connecting')
  const peer = await server.peer()
  t.equal(peer.request.headers['sec-websocket-protocol'], 'notification.v1')
  await next(client, 'open')
  t.equal(client.state, 'open')

  peer.notify('n1', { order: 7 })
  const first = await next(client, 'notification')
  t.match(first, { id: 'n1', content: { order: 7 }, redelivered: false })
  peer.notify('n2', null, true)
  t.match(await next(client, 'notification'), { id: 'n2', content: null, redelivered: true })
  peer.send({ type: 'dismiss', ids: ['n3'] })
  t.equal((await next(client, 'dismiss')).id, 'n3')
  peer.send({ type: 'of a newer server' })

  await client.close(4321, 'bye')
  t.same(await peer.closed, { code: 4321, reason: 'bye' })
  t.equal(client.state, 'closed')
  t.same(events, ['open c1', 'dismiss n3', 'close 4321 bye', 'ended 4321'])
  t.throws(() => first.waitUntil(Promise.resolve()), /while the event is dispatched/)
})

test('an invalid frame from the server is an error event of the client, and nothing more', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const events = record(client)
  const peer = await server.peer()
  await next(client, 'open')
  for (const frame of ['{', 'null', '[]', '{"type":1}', '{"type":"dismiss"}', '{"type":"notification","id":7}', '{"type":"notification","id":"x"}']) peer.send(frame)
  peer.socket.send(Buffer.from('{}'))
  peer.send('{"type":"toString"}') // no type of the protocol, though a member of every object
  peer.notify('n1')
  await next(client, 'notification')
  t.equal(events.filter(event => event.startsWith('error invalid-frame')).length, 8)
  t.equal(client.state, 'open')
})

test('the client asks for its URL at each attempt, passes its protocols, and takes http for ws', async t => {
  const server = await startNotificationServer(t)
  let asked = 0
  const client = createClient(t, async () => new URL(`${server.url.replace('ws', 'http')}/?ticket=${++asked}#x`), {
    protocols: () => [`token-${asked}`]
  })
  for (const n of [1, 2]) {
    const { request, socket } = await server.peer()
    t.equal(request.url, `/?ticket=${n}`)
    t.match(request.headers['sec-websocket-protocol'], /^notification\.v1,\s?token-/)
    socket.close(1001)
  }
  await client.close()
})

test('wrong arguments of the client throw at once', async t => {
  t.throws(() => new NotificationClient('/notification', { WebSocket }), TypeError, 'relative, without a page')
  t.throws(() => new NotificationClient('ftp://localhost', { WebSocket }), /must be ws/)
  for (const [options, name] of [
    [{ reconnect: { initialDelay: NaN } }, 'reconnect.initialDelay'],
    [{ reconnect: { maxDelay: 0 } }, 'reconnect.maxDelay'],
    [{ reconnect: { stableAfter: -1 } }, 'reconnect.stableAfter'],
    [{ connectTimeout: '10' as unknown as number }, 'connectTimeout'],
    [{ rememberedIds: NaN }, 'rememberedIds'],
    [{ backlog: -1 }, 'backlog']
  ] as const) {
    t.throws(() => new NotificationClient('ws://localhost', { WebSocket, ...options }), { name: 'RangeError', message: `${name} must be` })
  }
  const { WebSocket: own } = globalThis as { WebSocket?: unknown }
  if (own === undefined) t.throws(() => new NotificationClient('ws://localhost'), /option WebSocket/)
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  await t.rejects(client.close(1001), RangeError)
  await t.rejects(client.close(1000, 'é'.repeat(62)), RangeError)
  t.equal(client.state, 'connecting')
})

test('a URL function that fails is a failed attempt to connect', async t => {
  const server = await startNotificationServer(t)
  const answers = [() => { throw new Error('no ticket') }, async () => await Promise.reject(new Error('503')), () => 'http://[', () => server.url]
  const client = createClient(t, () => answers.shift()!())
  const events = record(client)
  await next(client, 'open')
  t.match(events, [
    'error url-failed: no URL or subprotocols to connect with: no ticket', 'close 1006 no URL or subprotocols to connect with, will reconnect',
    'error url-failed: no URL or subprotocols to connect with: 503', 'close 1006 no URL or subprotocols to connect with, will reconnect',
    /^error url-failed: no URL or subprotocols to connect with: Invalid/, 'close 1006 no URL or subprotocols to connect with, will reconnect',
    'open c1'
  ])

  const opaque = createClient(t, server.url, { protocols: ['dG9rZW4='] })
  t.match(await next(opaque, 'error'), { code: 'url-failed', message: /^no URL or subprotocols to connect with: .*subprotocol/ })
})

test('the client leaves a server that does not speak notification.v1', async t => {
  class WithoutSubprotocol extends WebSocket {
    constructor (url: string, _protocols: string[]) { super(url) } // that the server selects none is no failure then
  }
  const ended = ['error wrong-protocol: the server does not speak notification.v1', 'close 1002 the server does not speak notification.v1', 'ended 1002']
  // It selects none; it selects any, and sends contents as they are.
  for (const [greeting, options] of [[null, { WebSocket: WithoutSubprotocol }], ['hello world', {}], ['{"type":"dismiss","ids":["x"]}', {}]] as const) {
    const server = await startNotificationServer(t, { greeting })
    const client = createClient(t, server.url, options)
    const events = record(client)
    await next(client, 'ended')
    t.same(events, ended)
    await (await server.peer()).closed
    t.equal(client.state, 'closed')
  }
})

test('an error that the server sends is told, with its code, before the connection closes', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const events = record(client)
  const peer = await server.peer()
  peer.send({ type: 'error', code: 'FST_NOTIFICATION_X', message: 'no such id' })
  peer.socket.close(1008, 'bad frame')
  await next(client, 'ended')
  t.same(events, ['open c1', 'error FST_NOTIFICATION_X: no such id', 'close 1008 bad frame', 'ended 1008'])
})

test('close() ends the client at any time, and leaves nothing behind', async t => {
  const server = await startNotificationServer(t)
  const abort = new AbortController()
  const before = timers()

  const connecting = createClient(t, server.url, { signal: abort.signal })
  const events = record(connecting)
  await Promise.all([connecting.close(), connecting.close()])
  await connecting.close()
  t.same(events, ['close 1000', 'ended 1000'])
  t.equal(getEventListeners(abort.signal, 'abort').length, 0)

  const upgrading = createClient(t, server.url)
  await new Promise(resolve => setImmediate(resolve))
  await upgrading.close()

  const waiting = createClient(t, 'ws://127.0.0.1:1', { reconnect: { initialDelay: 1e9, maxDelay: 1e9 } })
  await next(waiting, 'close')
  t.equal(waiting.state, 'waiting')
  await waiting.close()

  const hanging = createClient(t, () => new Promise(() => {}))
  await hanging.close()

  const asked = createClient(t, () => { asked.close(); return server.url }) // signed out, as its ticket shows
  await next(asked, 'ended')

  const failing = createClient(t, () => { failing.close(); throw new Error('signed out') })
  const failingEvents = record(failing)
  await next(failing, 'ended')
  t.same(failingEvents, ['close 1000', 'ended 1000'])

  const open = createClient(t, server.url, { signal: abort.signal })
  await next(open, 'open')
  const peer = server.peers.at(-1)!
  const ended = next(open, 'ended')
  abort.abort()
  await ended
  t.equal((await peer.closed).code, 1000)
  await open.close()
  t.ok(timers() <= before, 'no timer is left')

  const aborted = createClient(t, server.url, { signal: abort.signal })
  t.match(await next(aborted, 'ended'), { code: 1000 })
})

test('close() of the client does not wait for a server that does not answer', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  await next(client, 'open')
  const peer = await server.peer()
  peer.socket.pause()
  await client.close()
  t.equal(client.state, 'closed')
})

test('connect() starts a client again that was closed', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const events = record(client)
  await next(client, 'open')
  client.connect() // is open
  ;(await server.peer()).socket.close(4500, 'expired')
  await next(client, 'ended')
  client.connect()
  await next(client, 'open')
  client.addEventListener('close', () => client.connect(), { once: true })
  ;(await server.peer()).socket.close(4500)
  await next(client, 'open')
  t.same(events, ['open c1', 'close 4500 expired', 'ended 4500', 'open c1', 'close 4500', 'open c1'])
})

function timers (): number {
  return process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
}
