// The client in a context that lacks what React Native lacks.
import { createContext, runInContext } from 'node:vm'
import { build } from 'esbuild'
import { test, type Test } from 'tap'
import { WebSocket } from 'ws'
import type { NotificationClient, NotificationClientOptions } from '../../src/client/index.js'
import { startNotificationServer } from '../support/notification-server.js'

/** React Native's URL: it can't be changed, adds a slash to a path, and doesn't look at what it is given. */
class PoorURL {
  readonly #url: string

  constructor (url: string, base?: string) {
    const whole = base === undefined ? url : base + url
    this.#url = /[/?#]$|\?/.test(whole) ? whole : `${whole}/`
  }

  get href (): string { return this.#url }
  set href (_: string) { throw new Error('URL.href is not implemented') }
  get protocol (): string { throw new Error('URL.protocol is not implemented') }
  get hash (): string { throw new Error('URL.hash is not implemented') }
}

const { outputFiles: [file] } = await build({
  entryPoints: ['src/client/index.ts'], bundle: true, format: 'iife', globalName: 'client', target: 'es2022', write: false
})

type Exports = { NotificationClient: new (url: string | (() => string), options?: NotificationClientOptions) => NotificationClient }

/** A client of its own context. What a context has of itself is the language alone. */
function createClient (t: Test, url: string | (() => string), options?: NotificationClientOptions): { client: NotificationClient, logged: unknown[][] } {
  const logged: unknown[][] = []
  const globals: Record<string, unknown> = {
    setTimeout,
    clearTimeout,
    queueMicrotask,
    performance,
    AbortController,
    AbortSignal,
    WebSocket,
    URL: PoorURL,
    navigator: { product: 'ReactNative' },
    console: { error: (...args: unknown[]) => logged.push(args) }
  }
  const context = createContext(globals)
  const missing = runInContext('[typeof EventTarget, typeof Event, typeof TextEncoder, typeof window, typeof document, typeof addEventListener]', context)
  t.same([...missing], Array(6).fill('undefined'), 'as in React Native')
  const { NotificationClient } = runInContext(`${file!.text}; client`, context) as Exports
  const client = new NotificationClient(url, { reconnect: { initialDelay: 5, maxDelay: 20 }, ...options })
  t.teardown(() => client.close())
  return { client, logged }
}

const event = async (client: NotificationClient, type: 'open' | 'dismiss' | 'close' | 'ended') =>
  await new Promise<any>(resolve => client.addEventListener(type, resolve, { once: true }))

test('without what React Native lacks, the client connects, hands over, answers, connects again and closes', async t => {
  const server = await startNotificationServer(t, { greeting: { type: 'welcome', connectionId: 'c1', heartbeatMs: 25_000, silenceMs: 35_000, ackTimeoutMs: 30_000 } })
  const { client, logged } = createClient(t, `${server.url.replace('ws', 'http')}/notification#fragment`)
  const seen: string[] = []
  client.addEventListener('notification', ({ id }) => {
    if (id === 'bad') throw new Error('bad')
    seen.push(id)
  })
  t.match(await event(client, 'open'), { type: 'open', connectionId: 'c1', target: client })
  const first = await server.peer()
  t.equal(first.request.url, '/notification', 'no slash was added')
  for (const id of ['é😀', 'bad', 'b']) first.notify(id)
  await Promise.all([first.acked(2), first.nacked(1)])
  t.same(seen, ['é😀', 'b'])
  t.match(logged, [['notification client: notification bad was not handled', { message: 'bad' }]])
  first.send({ type: 'dismiss', ids: ['x'] })
  t.match(await event(client, 'dismiss'), { id: 'x' })

  client.connect() // the application is active again
  await first.frame(4)
  t.equal(first.frames.at(-1), '{"type":"ping"}')
  first.socket.terminate()
  t.match(await event(client, 'close'), { willReconnect: true })
  const second = await server.peer()
  await event(client, 'open')
  await t.rejects(client.close(1000, 'é'.repeat(62)), { name: 'RangeError' })
  await client.close(4321, 'bye')
  t.same(await second.closed, { code: 4321, reason: 'bye' })
})

test('without what React Native lacks, a loop takes notifications, and a signal closes the client', async t => {
  const server = await startNotificationServer(t)
  const abort = new AbortController()
  const { client } = createClient(t, () => server.url, { signal: abort.signal })
  const peer = await server.peer()
  for (const id of ['a', 'b']) peer.notify(id)
  const seen: string[] = []
  for await (const { id } of client) if (seen.push(id) === 2) abort.abort()
  t.same(seen, ['a', 'b'])
  t.equal((await peer.acked(1))[0], 'a')
})
