// What the client says of notifications that its handlers could not handle.
import { test } from 'tap'
import { createClient, next, record } from '../support/notification-client.js'
import { startNotificationServer } from '../support/notification-server.js'

const impatient = { type: 'welcome', connectionId: 'c1', heartbeatMs: 25_000, maxUnacked: 100, ackTimeoutMs: 100 }

test('fault 75: a handler that fails is answered with a nack; the notification is handled again when it comes again', async t => {
  const server = await startNotificationServer(t)
  let tries = 0
  const client = createClient(t, server.url, { onNotification ({ id }) { if (id === 'bad' && ++tries < 3) throw new Error('not yet') } })
  const events = record(client)
  const peer = await server.peer()
  for (const times of [1, 2]) {
    peer.notify('bad')
    await peer.nacked(times)
  }
  peer.notify('bad', 'bad', true)
  t.same(await peer.acked(1), ['bad'])
  t.same(peer.nacks, ['bad', 'bad'])
  t.same(events, ['open c1', ...Array(2).fill('error handler-failed: notification bad was not handled')])
})

test('fault 75: the signal of a notification aborts before the server loses its patience, and the handler has failed', async t => {
  const server = await startNotificationServer(t, { greeting: impatient })
  let reason: unknown
  const client = createClient(t, server.url)
  client.addEventListener('notification', event => {
    event.signal.addEventListener('abort', () => { reason = event.signal.reason })
    return new Promise(() => {})
  })
  const failed = next(client, 'error')
  const peer = await server.peer()
  peer.notify('n')
  t.same(await peer.nacked(1), ['n'])
  t.match(await failed, { code: 'handler-failed', cause: { message: 'not handled within 80 ms' } })
  t.match(reason, { message: 'not handled within 80 ms' })
})

test('fault 75: a handler that is done after its time acknowledges all the same', async t => {
  const server = await startNotificationServer(t, { greeting: impatient })
  let finish = () => {}
  const handled: string[] = []
  const client = createClient(t, server.url, {
    onNotification ({ id }) {
      handled.push(id)
      return new Promise<void>(resolve => { finish = resolve })
    }
  })
  client.addEventListener('error', () => {})
  const peer = await server.peer()
  peer.notify('n')
  await peer.nacked(1)
  finish()
  t.same(await peer.acked(1), ['n'])
  peer.notify('n', 'n', true)
  await peer.acked(2)
  t.same(handled, ['n'], 'it is not handled again')
})

test('fault 75: the time of a loop begins when it takes a notification, not when it came', async t => {
  const server = await startNotificationServer(t, { greeting: impatient })
  const client = createClient(t, server.url)
  client.addEventListener('error', () => {})
  const peer = await server.peer()
  peer.notify('quick')
  peer.notify('slow')
  await new Promise(resolve => setTimeout(resolve, 150)) // longer than a handler may take
  t.same(peer.nacks, [])
  for await (const { id, signal } of client) {
    if (id === 'quick') continue
    t.notOk(signal.aborted)
    t.same(await peer.nacked(1), ['slow'])
    t.ok(signal.aborted)
    break
  }
  t.same(peer.acks, ['quick'])
})

test('fault 75: where the server does not wait for acks, a handler may take as long as it likes', async t => {
  const server = await startNotificationServer(t)
  let finish = () => {}
  const client = createClient(t, server.url, { onNotification: () => new Promise<void>(resolve => { finish = resolve }) })
  const events = record(client)
  const peer = await server.peer()
  peer.notify('n')
  await new Promise(resolve => setTimeout(resolve, 150))
  finish()
  t.same(await peer.acked(1), ['n'])
  t.same(events, ['open c1'])
})

test('what has no room to wait is not rejected: a listener may be added before it comes again', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url, { backlog: 1 })
  const failed = next(client, 'error')
  const peer = await server.peer()
  for (const id of ['a', 'b']) peer.notify(id)
  await failed
  client.addEventListener('notification', () => {})
  await peer.acked(1)
  peer.notify('b')
  t.same(await peer.acked(2), ['a', 'b'])
  t.same(peer.nacks, [])
})

test('acks and nacks go in frames of their own', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url, { onNotification ({ id }) { if (id.startsWith('bad')) throw new Error('bad') } })
  client.addEventListener('error', () => {})
  const peer = await server.peer()
  for (const id of ['good 1', 'bad 1', 'good 2', 'bad 2']) peer.notify(id)
  await Promise.all([peer.acked(2), peer.nacked(2)])
  t.same([peer.acks, peer.nacks], [['good 1', 'good 2'], ['bad 1', 'bad 2']])
})
