import { test, type Test } from 'tap'
import { createClient, next, record } from '../support/notification-client.js'
import { startNotificationServer } from '../support/notification-server.js'

const page = new EventTarget()
const navigator = { onLine: true }
const document = { visibilityState: 'visible' }

/** Gives the process what a page has, until the end of the test: other tests of the process run without a page. */
function openPage (t: Test, url?: string): void {
  const globals = {
    document,
    navigator,
    addEventListener: page.addEventListener.bind(page),
    removeEventListener: page.removeEventListener.bind(page),
    location: url === undefined ? undefined : { href: url }
  }
  for (const [name, value] of Object.entries(globals)) {
    const former = Object.getOwnPropertyDescriptor(globalThis, name)
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
    t.teardown(() => former === undefined ? Reflect.deleteProperty(globalThis, name) : Object.defineProperty(globalThis, name, former))
  }
}

/** A test in a page. */
function testPage (title: string, run: (t: Test) => Promise<void>): void {
  test(title, async t => {
    openPage(t)
    await run(t)
  })
}

const slow = { initialDelay: 1e9, maxDelay: 1e9 }
const happen = (type: string, more: object = {}) => page.dispatchEvent(Object.assign(new Event(type), more))
const welcome = { type: 'welcome', connectionId: 'c1', heartbeatMs: 600_000, silenceMs: 600_000 }

for (const [type, more] of [['online'], ['pageshow', { persisted: true }], ['visibilitychange'], ['resume']] as const) {
  testPage(`fault 70: at the event ${type} a client that waits connects, within a second`, async t => {
    const server = await startNotificationServer(t)
    const client = createClient(t, server.url, { reconnect: slow })
    await next(client, 'open')
    ;(await server.peer()).socket.terminate()
    t.match(await next(client, 'close'), { willReconnect: true, delay: Number })
    happen(type, more)
    happen(type, more)
    await next(client, 'open')
    t.equal(server.peers.length, 2)
  })

  testPage(`fault 70: at the event ${type} a client that is connected asks whether the connection is alive`, async t => {
    const server = await startNotificationServer(t, { greeting: welcome })
    const client = createClient(t, server.url)
    const events = record(client)
    await next(client, 'open')
    const peer = await server.peer()
    happen(type, more)
    t.same(await peer.frame(1), ['{"type":"ping"}'])
    peer.send({ type: 'pong' })
    happen(type, more)
    t.same(await peer.frame(2), ['{"type":"ping"}', '{"type":"ping"}'], 'again, as the first has been answered')
    t.same(events, ['open c1'])
  })
}

testPage('fault 70: a page that is new, or is hidden, is not asked to prove that it is connected', async t => {
  const server = await startNotificationServer(t, { greeting: welcome })
  t.intercept(Math, 'random', { value: () => 0 })
  const client = createClient(t, server.url, { onNotification () {} })
  await next(client, 'open')
  const peer = await server.peer()
  happen('pageshow', { persisted: false })
  document.visibilityState = 'hidden'
  happen('visibilitychange')
  document.visibilityState = 'visible'
  await new Promise(resolve => setTimeout(resolve, 20)) // no event tells that nothing happens
  peer.notify('n')
  await peer.acked(1)
  t.same(peer.frames, ['{"type":"ack","ids":["n"]}'])
})

testPage('fault 70: a client whose ping is not answered connects again', async t => {
  const server = await startNotificationServer(t, { greeting: welcome })
  const client = createClient(t, server.url)
  await next(client, 'open')
  const peer = await server.peer()
  happen('online')
  await peer.frame(1)
  t.match(await next(client, 'close'), { code: 1006, reason: 'no answer within 5000 ms', willReconnect: true })
  await next(client, 'open')
})

testPage('fault 70: a server that does not say how long it may be silent is not asked', async t => {
  const server = await startNotificationServer(t)
  t.intercept(Math, 'random', { value: () => 0 })
  const client = createClient(t, server.url, { onNotification () {} })
  await next(client, 'open')
  const peer = await server.peer()
  client.connect()
  peer.notify('n')
  await peer.acked(1)
  t.same(peer.frames, ['{"type":"ack","ids":["n"]}'])
})

testPage('fault 73: a browser that is wrong about being offline connects all the same, at once and again after a lost connection', async t => {
  const server = await startNotificationServer(t)
  navigator.onLine = false
  t.teardown(() => { navigator.onLine = true })
  const client = createClient(t, server.url)
  await next(client, 'open')
  ;(await server.peer()).socket.terminate()
  t.match(await next(client, 'close'), { willReconnect: true, delay: Number })
  await next(client, 'open')
})

testPage('fault 73: while the browser says that it is offline the waits are as long as they get, and connect() ends them', async t => {
  const server = await startNotificationServer(t)
  navigator.onLine = false
  t.teardown(() => { navigator.onLine = true })
  t.intercept(Math, 'random', { value: () => 1 })
  const client = createClient(t, server.url, { reconnect: { initialDelay: 1, maxDelay: 1e9 } })
  await next(client, 'open')
  ;(await server.peer()).socket.terminate()
  t.match(await next(client, 'close'), { delay: 1e9 })
  client.connect()
  await next(client, 'open')
})

testPage('fault 72: when the page is left, acks go out and the connection closes in the same turn; it comes back with the page', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url, {
    reconnect: slow,
    onNotification ({ id }) { if (id === 'c') queueMicrotask(() => queueMicrotask(() => setImmediate(() => happen('pagehide', { persisted: true })))) }
  })
  const events = record(client)
  const peer = await server.peer()
  for (const id of ['a', 'b', 'c']) peer.notify(id)
  t.equal((await peer.closed).code, 1005)
  t.same(peer.acks, ['a', 'b', 'c'])
  t.equal(client.state, 'waiting')
  happen('pageshow', { persisted: true })
  await next(client, 'open')
  t.same(events, ['open c1', 'close 1000 the page was left, will reconnect', 'open c1'])
})

for (const [type, state] of [['visibilitychange', 'hidden'], ['freeze', 'visible']] as const) {
  testPage(`fault 72: acks that wait go out at the event ${type}, as the page may never run again`, async t => {
    const server = await startNotificationServer(t)
    const { setTimeout } = globalThis
    t.intercept(globalThis, 'setTimeout', { value: ((callback: () => void, delay: number) => delay === 30 ? 0 : setTimeout(callback, delay)) as never })
    createClient(t, server.url, { onNotification () {} })
    const peer = await server.peer()
    for (const id of ['a', 'b']) peer.notify(id)
    await peer.acked(1)
    document.visibilityState = state
    while (peer.acks.length < 2) {
      happen(type)
      await new Promise(resolve => setImmediate(resolve))
    }
    document.visibilityState = 'visible'
    t.same(peer.acks, ['a', 'b'])
  })
}

testPage('after close() the client does not listen to the page any more', async t => {
  const added = new Map<string, number>()
  const count = (by: number) => (type: string) => added.set(type, (added.get(type) ?? 0) + by)
  t.intercept(globalThis, 'addEventListener' as never, { value: count(1) as never })
  t.intercept(globalThis, 'removeEventListener' as never, { value: count(-1) as never })
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  await next(client, 'open')
  t.ok(added.size > 0)
  await client.close()
  t.ok([...added.values()].every(count => count === 0))
})

test('a relative URL of a client is resolved against that of the page', async t => {
  const server = await startNotificationServer(t)
  openPage(t, `${server.url.replace('ws', 'http')}/shop/?x`)
  const client = createClient(t, '../notification?userId=1')
  await next(client, 'open')
  t.equal((await server.peer()).request.url, '/notification?userId=1')
})
