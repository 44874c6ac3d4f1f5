import { Socket } from 'node:net'
import websocket from '@fastify/websocket'
import { test } from 'tap'
import { composePayload } from '../../src/delivery/notification.js'
import notificationPlugin from '../../src/index.js'
import { frameEncoder } from '../../src/websocket/frames.js'
import { createApp, listen, startApp } from '../support/app.js'
import { connectClient } from '../support/client.js'

/** Around each length at which the header of a frame grows (RFC 6455 §5.2), and more than is gathered at most. */
const LENGTHS = [0, 1, 124, 125, 126, 127, 65_535, 65_536, 70_000, 3]

test('what is sent in one turn arrives whole and in order, whatever its length', async t => {
  const { app, notifications } = await startApp(t, {})
  const client = await connectClient(t, notifications('123'))
  const contents = LENGTHS.map((length, n) => String(n).padEnd(length, 'x').slice(0, length))
  for (const content of contents) app.notifier.notify('123', content)
  t.same(await client.received(contents.length), contents)
  for (const content of contents) app.notifier.broadcast(content)
  t.same((await client.received(2 * contents.length)).slice(contents.length), contents, 'encoded once for many too')
})

test('the frames of one content are encoded once for all connections, and those of the next content anew', async t => {
  const [one, other] = [composePayload('one', 'a'), composePayload('other', 'b')]
  const encodeAll = (payload = one) => [frameEncoder.plain(payload), frameEncoder.rich(payload, false), frameEncoder.rich(payload, true)]
  const frames = encodeAll()
  for (const [n, frame] of encodeAll().entries()) t.equal(frame, frames[n])
  t.same(encodeAll(other).map(({ text }) => text), [
    'other',
    '{"type":"notification","id":"b","content":"other"}',
    '{"type":"notification","id":"b","content":"other","redelivered":true}'
  ])
})

test("a frame's length counts bytes, not characters", async t => {
  const { app, notifications } = await startApp(t, {})
  const client = await connectClient(t, notifications('123'))
  const contents = ['é'.repeat(62), 'é'.repeat(63), '😀'.repeat(32), '\ud800 alone', '€'.repeat(21_845), '€'.repeat(21_846)]
  for (const content of contents) app.notifier.notify('123', content)
  t.same(await client.received(contents.length), contents.map(content => content.toWellFormed()))
})

test('what was sent before a connection is closed arrives before its close', async t => {
  const { app, notifications } = await startApp(t, {})
  const client = await connectClient(t, notifications('123'))
  for (let n = 0; n < 100; n++) app.notifier.notify('123', n)
  app.notifier.disconnect('123')
  t.match(await client.closed, { code: 4502 })
  t.equal(client.messages.length, 100)
})

test('what waits for the end of a turn of the event loop counts as buffered', async t => {
  const { app, notifications } = await startApp(t, { limits: { bufferedBytes: 1_000 } })
  const client = await connectClient(t, notifications('123'))
  const large = 'x'.repeat(500)
  const results = await Promise.all([1, 2, 3, 4, 5].map(() => app.notifier.notify('123', large)))
  t.same(results.map(({ outcome }) => outcome), ['sent', 'sent', 'offline', 'offline', 'offline'])
  t.match(await client.closed, { code: 4000 })
})

test('where an application has its own messages compressed, ours arrive among them', async t => {
  const { app } = createApp(t)
  await app.register(websocket, { options: { perMessageDeflate: { threshold: 0 } } })
  await app.register(notificationPlugin, {})
  app.get('/own', { websocket: true }, socket => {
    app.notifier.register('123', socket)
    for (let n = 0; n < 100; n++) app.notifier.notify('123', `content ${n}`)
  })
  const { at } = await listen(app)
  const client = await connectClient(t, at('/own'), { perMessageDeflate: true })
  t.match(client.socket.extensions, 'permessage-deflate')
  t.same(await client.received(100), Array.from({ length: 100 }, (_, n) => `content ${n}`))
})

test("a socket of the application's own keeps its order with what the application sends", async t => {
  const { app } = createApp(t)
  await app.register(notificationPlugin, {})
  app.get('/own', { websocket: true }, socket => {
    app.notifier.register('123', socket)
    app.notifier.notify('123', 'first')
    socket.send('second')
    app.notifier.notify('123', 'third')
    socket.close()
  })
  const { at } = await listen(app)
  const client = await connectClient(t, at('/own'))
  await client.closed
  t.same(client.messages, ['first', 'second', 'third'])
})

test('ws has its stream under the name by which frames are written to it', async t => {
  const { app } = createApp(t)
  await app.register(notificationPlugin, {})
  const streams: unknown[] = []
  app.get('/own', { websocket: true }, socket => {
    streams.push((socket as { _socket?: unknown })._socket)
    socket.close()
  })
  const { at } = await listen(app)
  const client = await connectClient(t, at('/own'))
  await client.closed
  t.ok(streams[0] instanceof Socket)
})
