import { test } from 'tap'
import { createClient, next, record } from '../support/notification-client.js'
import { startNotificationServer } from '../support/notification-server.js'

test('a loop acknowledges each notification when it asks for the next', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const peer = await server.peer()
  peer.notify('before the loop')
  peer.notify('a')
  const seen: unknown[] = []
  for await (const { id, content } of client) {
    seen.push(content)
    if (id === 'a') {
      t.same(await peer.acked(1), ['before the loop'])
      setImmediate(() => peer.notify('b'))
    }
    if (id === 'b') {
      t.same(await peer.acked(2), ['before the loop', 'a'])
      client.close()
    }
  }
  t.same(seen, ['before the loop', 'a', 'b'])
  await peer.closed
  t.same(peer.acks, ['before the loop', 'a', 'b'], 'the last too, as the loop went on')
})

test('what a loop was left at is not acknowledged, and comes again; the next loop goes on with the others', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const events = record(client)
  const peer = await server.peer()
  for (const id of ['a', 'b', 'c', 'd']) peer.notify(id)
  for await (const { id } of client) if (id === 'b') break
  await t.rejects(async () => {
    for await (const { id } of client) if (id === 'c') throw new Error(id)
  }, { message: 'c' })
  t.same(await peer.acked(1), ['a'])

  peer.notify('b', 'b', true)
  const seen: string[] = []
  for await (const { id, redelivered } of client) {
    seen.push(`${id} ${redelivered}`)
    if (id === 'b') break
  }
  t.same(seen, ['d false', 'b true'])
  t.same(await peer.acked(2), ['a', 'd'])
  t.same(events, ['open c1'], 'leaving a loop is no failure')
})

test('the backlog is bounded; what another device took is taken out; redeliveries are not added', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url, { backlog: 3 })
  const failed = next(client, 'error')
  const peer = await server.peer()
  for (const id of ['a', 'b', 'b', 'c', 'too many']) peer.notify(id)
  t.match(await failed, { code: 'handler-failed', message: 'notification too many was not handled', cause: { message: /^3 notifications wait/ } })
  const dismissed = next(client, 'dismiss')
  peer.send({ type: 'dismiss', ids: ['b'] })
  peer.send({ type: 'dismiss', ids: ['unknown'] })
  await dismissed
  peer.notify('d')
  const seen: string[] = []
  for await (const { id } of client) {
    seen.push(id)
    if (id === 'd') break
  }
  t.same(seen, ['a', 'c', 'd'])
})

test('a loop goes on over a reconnect, and ends with the client', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const seen: string[] = []
  const loop = (async () => { for await (const { id } of client) seen.push(id) })()
  const first = await server.peer()
  first.notify('a')
  await first.acked(1)
  first.socket.close(1001)
  const second = await server.peer()
  second.notify('b')
  await second.acked(1)
  second.socket.close(4502)
  await loop
  t.same(seen, ['a', 'b'])
  t.match(await client[Symbol.asyncIterator]().next(), { done: true })
})

test('a loop beside a handler: both must be done', async t => {
  const server = await startNotificationServer(t)
  let finish = () => {}
  const client = createClient(t, server.url, { onNotification: () => new Promise<void>(resolve => { finish = resolve }) })
  const loop = client[Symbol.asyncIterator]()
  const item = loop.next()
  const peer = await server.peer()
  peer.notify('a')
  t.equal((await item).value?.id, 'a')
  const following = loop.next()
  t.same(peer.acks, [])
  finish()
  t.same(await peer.acked(1), ['a'])
  await client.close()
  t.match(await following, { done: true })
})

test('a loop that is left while it waits ends at once, and takes nothing from the next', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const peer = await server.peer()
  await client[Symbol.asyncIterator]().return() // never begun
  const left = client[Symbol.asyncIterator]()
  const waiting = left.next()
  t.match(await left.return(), { done: true })
  t.match(await waiting, { done: true })
  const loop = client[Symbol.asyncIterator]()
  const item = loop.next()
  peer.notify('a')
  t.match(await item, { value: { id: 'a' } })
  await loop.return()
  peer.notify('b')
  peer.send({ type: 'dismiss', ids: ['x'] })
  await next(client, 'dismiss')
  t.match(await client[Symbol.asyncIterator]().next(), { value: { id: 'b' } })
  t.same(peer.acks, [])
})

test('what waits when the client ends is forgotten, and is handled when it comes again', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url)
  const first = await server.peer()
  first.notify('a')
  first.send({ type: 'dismiss', ids: ['x'] })
  await next(client, 'dismiss')
  await client.close()
  client.connect()
  const second = await server.peer()
  second.notify('a', 'a', true)
  t.match(await client[Symbol.asyncIterator]().next(), { value: { id: 'a', redelivered: true } })
})
