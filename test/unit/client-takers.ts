// Who takes a notification, and what becomes of those that nobody takes.
import { test } from 'tap'
import { createClient, next, record } from '../support/notification-client.js'
import { startNotificationServer, type Peer } from '../support/notification-server.js'
import type { NotificationClient, NotificationEvent } from '../../src/client/index.js'

/** Resolves when everything that was sent before has arrived at the client. */
async function arrived (client: NotificationClient, peer: Peer): Promise<void> {
  const dismissed = next(client, 'dismiss')
  peer.send({ type: 'dismiss', ids: ['mark'] })
  await dismissed
}

test('fault 69: what came before a listener was added is handed to it, the oldest first, and acknowledged only then', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const peer = await server.peer()
  for (const id of ['a', 'b', 'c']) peer.notify(id)
  await arrived(client, peer)
  t.same(peer.acks, [])
  const seen: string[] = []
  client.addEventListener('notification', ({ id }) => seen.push(`first ${id}`))
  client.addEventListener('notification', ({ id }) => seen.push(`second ${id}`))
  t.same(await peer.acked(3), ['a', 'b', 'c'])
  t.same(seen, ['first a', 'second a', 'first b', 'second b', 'first c', 'second c'])
})

test('fault 69: a listener that is removed takes nothing more; what comes then waits for the next one', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const seen: string[] = []
  const listener = ({ id }: NotificationEvent) => { seen.push(id) }
  client.addEventListener('notification', listener)
  const peer = await server.peer()
  peer.notify('a')
  await peer.acked(1)
  client.removeEventListener('notification', listener)
  peer.notify('b')
  await arrived(client, peer)
  t.same(peer.acks, ['a'])
  client.addEventListener('notification', listener)
  t.same(await peer.acked(2), ['a', 'b'])
  t.same(seen, ['a', 'b'])
})

test('fault 69: a listener with `once` takes one notification; the next waits for the next listener', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const peer = await server.peer()
  for (const id of ['a', 'b', 'c']) peer.notify(id)
  await arrived(client, peer)
  for (const id of ['a', 'b', 'c']) {
    t.equal((await next(client, 'notification')).id, id)
    await peer.acked(1)
  }
  t.same(await peer.acked(3), ['a', 'b', 'c'])
})

test('fault 69: a listener whose signal has aborted takes nothing', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const seen: string[] = []
  const abort = new AbortController()
  client.addEventListener('notification', ({ id }) => seen.push(id), { signal: abort.signal })
  client.addEventListener('notification', ({ id }) => seen.push(`never ${id}`), { signal: AbortSignal.abort() })
  const peer = await server.peer()
  peer.notify('a')
  await peer.acked(1)
  abort.abort()
  peer.notify('b')
  await arrived(client, peer)
  t.same(peer.acks, ['a'])
  client.addEventListener('notification', ({ id }) => seen.push(`later ${id}`))
  t.same(await peer.acked(2), ['a', 'b'])
  t.same(seen, ['a', 'later b'])
})

test('fault 69: an object with handleEvent is a listener', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const listener = { seen: [] as string[], handleEvent ({ id }: { id: string }) { this.seen.push(id) } }
  client.addEventListener('notification', listener)
  client.addEventListener('notification', listener) // one that is there already is not added
  client.addEventListener('notification', null)
  const peer = await server.peer()
  peer.notify('a')
  await peer.acked(1)
  t.same(listener.seen, ['a'])
})

test('fault 69: a listener that is added and removed in one turn takes nothing', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const peer = await server.peer()
  peer.notify('a')
  await arrived(client, peer)
  const listener = () => t.fail('called')
  client.addEventListener('notification', listener)
  client.removeEventListener('notification', listener)
  await arrived(client, peer)
  t.same(peer.acks, [])
})

test('fault 69: as many as the server leaves unacknowledged may wait, whatever the backlog; then new ones arrive', async t => {
  const server = await startNotificationServer(t, { greeting: { type: 'welcome', connectionId: 'c1', heartbeatMs: 1_000, maxUnacked: 150 } })
  const client = createClient(t, server.url, { backlog: 3 })
  const events = record(client)
  const peer = await server.peer()
  const ids = Array.from({ length: 150 }, (_, n) => `n${n}`)
  for (const id of ids) peer.notify(id)
  await arrived(client, peer)
  t.same(peer.acks, [])
  const seen: string[] = []
  client.addEventListener('notification', ({ id }) => seen.push(id))
  await peer.acked(150)
  peer.notify('new')
  await peer.acked(151)
  t.same(seen, [...ids, 'new'])
  t.same(events, ['open c1', 'dismiss mark'])
})

test('what another device took is not handed to a listener that is added later', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const peer = await server.peer()
  for (const id of ['a', 'b']) peer.notify(id)
  peer.send({ type: 'dismiss', ids: ['a'] })
  await arrived(client, peer)
  const seen: string[] = []
  client.addEventListener('notification', ({ id }) => seen.push(id))
  t.same(await peer.acked(1), ['b'])
  t.same(seen, ['b'])
})

test('a listener that throws, or whose promise rejects, has not handled the notification; the others are called', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const events = record(client)
  const seen: string[] = []
  client.addEventListener('notification', ({ id }) => { if (id === 'thrown') throw new Error('no') })
  client.addEventListener('notification', async ({ id }) => { if (id === 'rejected') throw new Error('no') })
  client.addEventListener('notification', ({ id }) => seen.push(id))
  const peer = await server.peer()
  for (const id of ['thrown', 'rejected', 'good']) peer.notify(id)
  t.same(await peer.acked(1), ['good'])
  t.same(seen, ['thrown', 'rejected', 'good'])
  t.same(events, ['open c1', 'error handler-failed: notification thrown was not handled', 'error handler-failed: notification rejected was not handled'])
})

test("a listener's promise delays the acknowledgement", async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  let finish = () => {}
  client.addEventListener('notification', ({ id }) => id === 'slow' ? new Promise<void>(resolve => { finish = resolve }) : undefined)
  const peer = await server.peer()
  for (const id of ['slow', 'quick']) peer.notify(id)
  t.same(await peer.acked(1), ['quick'])
  finish()
  t.same(await peer.acked(2), ['quick', 'slow'])
})

test('what listeners have and a loop was still to take is acknowledged when the loop is left', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  client.addEventListener('notification', () => {})
  const peer = await server.peer()
  const loop = client[Symbol.asyncIterator]()
  const first = loop.next()
  for (const id of ['a', 'b', 'c']) peer.notify(id)
  t.equal((await first).value?.id, 'a')
  await arrived(client, peer)
  await loop.return()
  t.same(await peer.acked(2), ['b', 'c'])
})

test('an error of a listener for another event is an uncaught error, and the others are called', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const reported: unknown[] = []
  Object.assign(globalThis, { reportError: (error: unknown) => reported.push(error) })
  t.teardown(() => { Reflect.deleteProperty(globalThis, 'reportError') })
  const broken = new Error('broken')
  client.addEventListener('open', () => { throw broken })
  const event = await next(client, 'open')
  t.same(reported, [broken])
  t.equal(event.target, client)
  t.equal(event.currentTarget, client)
  t.ok(client instanceof EventTarget && event instanceof Event)
})
