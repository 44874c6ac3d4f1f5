import { test } from 'tap'
import { createClient, next, record } from '../support/notification-client.js'
import { startNotificationServer } from '../support/notification-server.js'

test('a notification is acknowledged when its handler is done, in whatever order', async t => {
  const server = await startNotificationServer(t)
  const done = new Map<string, () => void>()
  const begun: string[] = []
  createClient(t, server.url, {
    onNotification: ({ id }) => {
      begun.push(id)
      return id === 'sync' ? undefined : new Promise<void>(resolve => done.set(id, resolve))
    }
  })
  const peer = await server.peer()
  for (const id of ['slow', 'quick', 'sync']) peer.notify(id)
  t.same(await peer.acked(1), ['sync'])
  t.same(begun, ['slow', 'quick', 'sync'])
  done.get('quick')!()
  t.same(await peer.acked(2), ['sync', 'quick'])
  done.get('slow')!()
  t.same(await peer.acked(3), ['sync', 'quick', 'slow'])
})

test('a notification whose handler failed is not acknowledged, and is handled again when it comes again', async t => {
  const server = await startNotificationServer(t)
  let tries = 0
  const client = createClient(t, server.url, {
    onNotification ({ id }) {
      if (id === 'bad' && ++tries === 1) throw new Error('not now')
      return id === 'bad' && tries === 2 ? Promise.reject(new Error('not yet')) : undefined
    }
  })
  const events = record(client)
  const peer = await server.peer()
  for (const n of [1, 2, 3]) {
    peer.notify('bad')
    peer.notify(`good-${n}`)
    await peer.acked(n)
  }
  t.same(new Set(await peer.acked(4)), new Set(['good-1', 'good-2', 'good-3', 'bad']))
  t.equal(tries, 3)
  t.same(events, ['open c1', ...Array(2).fill('error handler-failed: notification bad was not handled')])
})

test('the failure of a handler goes to the console where nobody listens for errors', async t => {
  const server = await startNotificationServer(t)
  const cause = new Error('broken')
  const logged = t.capture(console, 'error')
  createClient(t, server.url, { onNotification: ({ id }) => { if (id === 'bad') throw cause } })
  const peer = await server.peer()
  peer.notify('bad')
  peer.notify('good')
  t.same(await peer.acked(1), ['good'])
  t.same(logged().map(({ args }) => args), [['notification client: notification bad was not handled', cause]])
})

test('with listeners, a notification is acknowledged when they have returned and what they gave to waitUntil() has resolved', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  let finish = () => {}
  client.addEventListener('notification', event => {
    if (event.id === 'later') event.waitUntil(new Promise<void>(resolve => { finish = resolve }))
    if (event.id === 'never') event.waitUntil(Promise.reject(new Error('failed')))
  })
  const failed = next(client, 'error')
  const peer = await server.peer()
  for (const id of ['later', 'never', 'now']) peer.notify(id)
  t.same(await peer.acked(1), ['now'])
  t.match(await failed, { code: 'handler-failed', cause: { message: 'failed' } })
  finish()
  t.same(await peer.acked(2), ['now', 'later'])
})

test('what was handled is acknowledged again and not handled again; what is being handled waits for its end', async t => {
  const server = await startNotificationServer(t)
  const handled: string[] = []
  let finish = () => {}
  const client = createClient(t, server.url, {
    rememberedIds: 2,
    onNotification ({ id }) {
      handled.push(id)
      return id === 'long' ? new Promise<void>(resolve => { finish = resolve }) : undefined
    }
  })
  const first = await server.peer()
  first.notify('long')
  first.notify('a')
  await first.acked(1)
  first.notify('a', 'a', true)
  t.same(await first.acked(2), ['a', 'a'])
  first.socket.close(4000)

  await next(client, 'open')
  const second = await server.peer()
  second.notify('long', 'long', true)
  second.notify('a', 'a', true)
  t.same(await second.acked(1), ['a'])
  finish()
  t.same(await second.acked(2), ['a', 'long'], 'on the connection that delivered it last')
  t.same(handled, ['long', 'a'])

  second.notify('b')
  await second.acked(3)
  second.notify('a') // longer ago than the two that are remembered
  await second.acked(4)
  t.same(handled, ['long', 'a', 'b', 'a'])
  t.same(first.acks, ['a', 'a'])
})

test('what was done after its connection had ended is acknowledged when it comes again, and not before', async t => {
  const server = await startNotificationServer(t)
  let finish = () => {}
  let handled = 0
  const client = createClient(t, server.url, {
    onNotification ({ id }) {
      handled++
      return id === 'x' ? new Promise<void>(resolve => { finish = resolve }) : undefined
    }
  })
  const first = await server.peer()
  first.notify('x')
  first.notify('y')
  await first.acked(1)
  first.socket.terminate()
  await next(client, 'open')
  finish()
  const second = await server.peer()
  second.notify('z')
  t.same(await second.acked(1), ['z'])
  second.notify('x', 'x', true)
  t.same(await second.acked(2), ['z', 'x'])
  t.equal(handled, 3)
})

test('acks are gathered, in frames of at most 4096 bytes, fewer than the server allows in a second', async t => {
  const server = await startNotificationServer(t)
  createClient(t, server.url, { onNotification () {} })
  const peer = await server.peer()
  const ids = Array.from({ length: 60 }, (_, n) => `${n}`.padStart(4) + '"é\\'.repeat(62))
  for (const id of ids) peer.notify(id)
  const start = performance.now()
  t.same(await peer.acked(60), ids)
  t.ok(peer.frames.every(frame => Buffer.byteLength(frame) <= 4_096))
  t.ok(peer.frames.length >= 6 && peer.frames.length <= 8, `${peer.frames.length} frames`)
  t.ok(performance.now() - start > (peer.frames.length - 1) * 20, 'not all at once')
  t.match(JSON.parse(peer.frames[0]!), { type: 'ack', ids: Array })
})

test('fault 72: an ack waits for no timer where none was sent just before, as the page may be about to go', async t => {
  const server = await startNotificationServer(t)
  const { setTimeout } = globalThis
  t.intercept(globalThis, 'setTimeout', { value: ((callback: () => void, delay: number) => delay === 30 ? 0 : setTimeout(callback, delay)) as never })
  createClient(t, server.url, { onNotification () {} })
  const peer = await server.peer()
  peer.notify('n')
  t.same(await peer.acked(1), ['n'])
})

test('fault 78: ack frames are no larger than the server says that they may be', async t => {
  const server = await startNotificationServer(t, { greeting: { type: 'welcome', connectionId: 'c1', heartbeatMs: 25_000, frameBytes: 1_024 } })
  createClient(t, server.url, { onNotification () {} })
  const peer = await server.peer()
  const ids = Array.from({ length: 40 }, (_, n) => `${n}`.padStart(4) + 'é😀"'.repeat(28))
  for (const id of ids) peer.notify(id)
  t.same(await peer.acked(40), ids)
  const sizes = peer.frames.map(frame => Buffer.byteLength(frame))
  t.ok(Math.max(...sizes) <= 1_024 && Math.max(...sizes) > 700, `${Math.max(...sizes)} bytes`)
})

test('close() of the client sends the acks that wait', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url, { onNotification: ({ id }) => id === 'slow' ? new Promise(() => {}) : undefined })
  const peer = await server.peer()
  const ids = Array.from({ length: 300 }, (_, n) => `id-${n}-${'x'.repeat(30)}`)
  for (const id of [...ids, 'slow']) peer.notify(id)
  await new Promise<void>(resolve => client.addEventListener('notification', ({ id }) => { if (id === 'slow') resolve() }))
  await client.close()
  await peer.closed
  t.same(peer.acks, ids)
  t.ok(peer.frames.every(frame => frame.length <= 4_096))
})
