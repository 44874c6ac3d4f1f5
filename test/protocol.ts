import { Value } from '@sinclair/typebox/value'
import { test } from 'tap'
import { ServerFrameSchema } from '../src/websocket/protocol.js'
import { startApp } from './support/app.js'
import { connectClient, refusal } from './support/client.js'
import { eventually } from './support/eventually.js'
import { createClient, next } from './support/notification-client.js'
import { connectRich } from './support/rich-client.js'

test('a client that offers notification.v1 is welcomed, and gets frames with ids', async t => {
  const { app, notifications } = await startApp(t, { heartbeat: { interval: 5_000, timeout: 1_000 } })
  const client = await connectRich(t, notifications('123'))
  t.equal(client.socket.protocol, 'notification.v1')
  const { connectionId, ...limits } = JSON.parse(client.messages[0]!)
  t.match(connectionId, /^[0-9a-f]{24}$/)
  t.same(limits, { type: 'welcome', heartbeatMs: 5_000, silenceMs: 6_000, frameBytes: 4_096, framesPerSecond: 50 }, 'nothing of acks, which the server does not wait for')
  const contents = ['hello "world"', { a: [1, null] }, '', 0, null, 'é😀']
  for (const [n, content] of contents.entries()) await app.notifier.notify('123', content, { id: `"${n}"` })
  t.same(await client.framesReceived(contents.length), contents.map((content, n) => ({ type: 'notification', id: `"${n}"`, content })))
  t.ok(client.messages.every(text => Value.Check(ServerFrameSchema, JSON.parse(text))), 'as the schema says')
})

test('fault 78: the welcome tells the limits that a client has to keep', async t => {
  const { notifications } = await startApp(t, { settle: 'acknowledged', maxUnacked: 7, ackTimeout: 5_000, limits: { frameBytes: 1_024, framesPerSecond: 9 } })
  const client = await connectRich(t, notifications('123'))
  t.match(JSON.parse(client.messages[0]!), { silenceMs: 35_000, frameBytes: 1_024, framesPerSecond: 9, maxUnacked: 7, ackTimeoutMs: 5_000 })
})

test('fault 78: an ack of the longest id fits into the smallest frame that the server can be told to accept', async t => {
  const { app, notifications } = await startApp(t, { settle: 'acknowledged', limits: { frameBytes: 1_024 } })
  const client = createClient(t, notifications('123'), { onNotification () {} })
  await next(client, 'open')
  const ids = Array.from({ length: 20 }, (_, n) => '"'.repeat(250) + String(n).padStart(5, '0'))
  const results = await Promise.all(ids.map(id => app.notifier.notify('123', 'x', { id })))
  t.ok(results.every(({ outcome }) => outcome === 'acknowledged'))
  t.equal(client.state, 'open')
})

test('fault 70: the server sends a frame that a page can see with each of its pings, to clients of notification.v1 alone', async t => {
  const { notifications } = await startApp(t, { heartbeat: { interval: 100, timeout: 50 } })
  const plain = await connectClient(t, notifications('123'))
  const client = await connectRich(t, notifications('123'))
  let pings = 0
  client.socket.on('ping', () => pings++)
  await client.received(4)
  t.same(client.messages.slice(1, 4), Array(3).fill('{"type":"ping"}'))
  await eventually(() => pings >= 3, 'a ping with each of the frames')
  t.same(plain.messages, [])
})

test("fault 70: a client's ping is answered, and counts as a frame", async t => {
  const { notifications } = await startApp(t, { limits: { framesPerSecond: 3 } })
  const client = await connectRich(t, notifications('123'))
  client.socket.send('{"type":"ping"}')
  t.same(await client.framesReceived(1), [{ type: 'pong' }])
  for (let n = 0; n < 10; n++) client.socket.send('{"type":"ping"}')
  t.match(await client.closed, { code: 1008, reason: 'too many frames' })
})

test('plain clients of the same user get the content alone', async t => {
  const { app, notifications } = await startApp(t, {})
  const rich = await connectRich(t, notifications('123'))
  const plain = await connectClient(t, notifications('123'))
  t.match(await app.notifier.notify('123', 'hello', { id: '1' }), { outcome: 'sent', connections: 2 })
  t.same(await rich.framesReceived(1), [{ type: 'notification', id: '1', content: 'hello' }])
  t.same(await plain.received(1), ['hello'])
})

test('notification.v1 is chosen among the subprotocols that are offered; where it is not among them, the upgrade is refused', async t => {
  const { notifications } = await startApp(t, {})
  const client = await connectClient(t, notifications('123'), {}, ['a-token', 'notification.v1'])
  t.equal(client.socket.protocol, 'notification.v1')
  const { statusCode, body } = await refusal(notifications('123'), {}, ['notification.v2', 'chat'])
  t.equal(statusCode, 400)
  t.match(JSON.parse(body), { code: 'FST_NOTIFICATION_UNKNOWN_SUBPROTOCOL', message: /notification\.v1/ })
})

test('a frame of a client that is no ack is answered with an error, and its connection is closed', async t => {
  const { notifications } = await startApp(t, {})
  const nonsense = ['', 'nonsense', '{}', '[]', 'null', '{"type":"ack"}', '{"type":"ack","ids":[]}', '{"type":"ack","ids":[1]}',
    '{"type":"ack","ids":["__proto__"]}', '{"type":"ack","ids":["1"],"more":1}', '{"type":"ping","more":1}', '{"type":"welcome"}', '['.repeat(4_000)]
  await Promise.all(nonsense.map(async text => { // each takes two seconds, which the server waits for the client's close frame
    const client = await connectRich(t, notifications('123'))
    client.socket.send(text)
    t.match(await client.closed, { code: 1008, reason: 'invalid frame' }, text.slice(0, 40))
    t.match(client.frames, [{ type: 'error', code: 'FST_NOTIFICATION_INVALID_FRAME' }], text.slice(0, 40))
  }))
  const client = await connectRich(t, notifications('123'))
  client.socket.send(Buffer.from('{"type":"ack","ids":["1"]}'))
  t.match(await client.closed, { code: 1003 })
})

test('acks beyond what was sent count as frames that are too many', async t => {
  const { app, notifications } = await startApp(t, { limits: { framesPerSecond: 5 } })
  const client = await connectRich(t, notifications('123'))
  for (let n = 0; n < 50; n++) await app.notifier.notify('123', n, { id: String(n) })
  await client.framesReceived(50)
  for (let n = 0; n < 50; n++) client.ack(String(n))
  await app.notifier.notify('123', 'still here')
  await client.framesReceived(51)
  for (let n = 0; n < 20; n++) client.ack('unknown')
  t.match(await client.closed, { code: 1008 })
  t.match(client.frames.at(-1), { type: 'error', code: 'FST_NOTIFICATION_TOO_MANY_FRAMES' })
})
