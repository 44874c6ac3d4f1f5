import { once } from 'node:events'
import type { Socket } from 'node:net'
import { test } from 'tap'
import type { WebSocket } from 'ws'
import { composePayload } from '../../src/delivery/notification.js'
import { ConnectRate } from '../../src/websocket/connect-rate.js'
import { Connection } from '../../src/websocket/connection.js'
import type { WriteBatcher } from '../../src/websocket/write-batcher.js'
import { startApp } from '../support/app.js'
import { connectClient, refusal } from '../support/client.js'
import { connectRaw } from '../support/raw-client.js'
import { connectRich, type RichClient } from '../support/rich-client.js'

/** Waits until the server has handled all that a client has sent, and has sent it all that it had to say. */
async function settle (client: RichClient): Promise<void> {
  const before = client.frames.filter(({ type }) => type === 'pong').length
  client.socket.send('{"type":"ping"}')
  for (let count = client.frames.length + 1; client.frames.filter(({ type }) => type === 'pong').length === before; count++) await client.framesReceived(count)
}

const dismissals = (client: RichClient) => client.frames.filter(({ type }) => type === 'dismiss')

test('fault 94: others are told only of what was sent to whoever acknowledges it, once, in one frame', async t => {
  const { app, notifications } = await startApp(t, { dismiss: true })
  const clients = await Promise.all(Array.from({ length: 10 }, () => connectRich(t, notifications('123'))))
  const ids = Array.from({ length: 100 }, (_, n) => `n${n}`)
  for (const id of ids) await app.notifier.notify('123', 'x', { id })
  const [first, second, ...others] = clients as [RichClient, RichClient, ...RichClient[]]
  await Promise.all(clients.map(client => client.framesReceived(100)))

  first.ack(...ids.map(id => `invented ${id}`))
  await settle(first)
  for (const other of clients) {
    await settle(other)
    t.same(dismissals(other), [])
  }

  for (let n = 0; n < 100; n++) await app.notifier.notify('123', 'x', { id: `m${n}` })
  first.ack('n1', 'n2', 'n3')
  await settle(first)
  second.ack('n1', 'n2', 'n3')
  first.ack('n1', 'n1')
  await settle(second)
  await settle(first)
  for (const other of [second, ...others]) {
    await settle(other)
    t.same(dismissals(other), [{ type: 'dismiss', ids: ['n1', 'n2', 'n3'] }])
  }
  t.same(dismissals(first), [], 'what the second one says is known already')
})

test('fault 94: of each connection the last 1,000 ids are remembered: acks of older ones tell nobody anything', async t => {
  const { app, notifications } = await startApp(t, { dismiss: true })
  const [first, second] = await Promise.all([1, 2].map(() => connectRich(t, notifications('123')))) as [RichClient, RichClient]
  for (let n = 0; n <= 1_000; n++) await app.notifier.notify('123', 'x', { id: `n${n}` })
  await Promise.all([first, second].map(client => client.framesReceived(1_001)))
  first.ack('n0')
  first.ack('n1')
  await settle(first)
  await settle(second)
  t.same(dismissals(second), [{ type: 'dismiss', ids: ['n1'] }])
})

test('fault 94: what a client may answer without being counted has a bound, however much it was sent', async t => {
  const socket = { readyState: 1, OPEN: 1, protocol: 'notification.v1', extensions: '', bufferedAmount: 0, _socket: {} } as unknown as WebSocket
  const rules = { bufferedBytes: Infinity, heedsAcks: false, onSlow () {}, written () {} }
  const connection = new Connection('123', socket, Infinity, rules, { add () {}, addBytes () {} } as unknown as WriteBatcher)
  const payload = composePayload('x', 'x')
  for (let n = 0; n < 100_010; n++) connection.send(payload)
  t.equal(connection.spendCredit(1_000_000), 900_000)
})

test('fault 94: an ack counts as many times as it has ids, apart from one for each notification', async t => {
  const { app, notifications } = await startApp(t, { limits: { framesPerSecond: 20 } })
  const honest = await connectRich(t, notifications('honest'))
  const ids = Array.from({ length: 90 }, (_, n) => `n${n}`)
  for (const id of ids) await app.notifier.notify('honest', 'x', { id })
  await honest.framesReceived(90)
  honest.ack(...ids)
  await settle(honest)

  const greedy = await connectRich(t, notifications('greedy'))
  greedy.ack(...ids)
  t.same(await greedy.closed, { code: 1008, reason: 'too many frames' })
})

test('fault 94: a large frame counts as many times as it has 2048 bytes', async t => {
  const { app, notifications } = await startApp(t, { limits: { framesPerSecond: 20, frameBytes: 1_048_576 } })
  const padded = `{"type":"ack","ids":["n1"]${' '.repeat(100_000)}}`
  const rich = await connectRich(t, notifications('123'))
  await app.notifier.notify('123', 'x', { id: 'n1' })
  rich.socket.send(padded)
  t.same(await rich.closed, { code: 1008, reason: 'too many frames' })
  const pinging = await connectRich(t, notifications('123'))
  pinging.socket.send(`{"type":"ping"${' '.repeat(100_000)}}`)
  t.same(await pinging.closed, { code: 1008, reason: 'too many frames' })
  const plain = await connectClient(t, notifications('456'))
  plain.socket.send(padded)
  t.same(await plain.closed, { code: 1008, reason: 'too many frames' })
})

test('fault 94: of a client that goes on sending while it is closed, not much is read', async t => {
  const served: Socket[] = []
  const { app, notifications } = await startApp(t, { limits: { framesPerSecond: 20, frameBytes: 1_048_576 } }, ({ server }) => {
    server.on('connection', socket => served.push(socket))
  })
  const client = await connectRaw(t, notifications('123'), { 'Sec-WebSocket-Protocol': 'notification.v1' })
  app.notifier.disconnect('123')
  t.equal(await client.closed, 4502)
  const [socket] = served as [Socket]
  const ended = once(socket, 'close')
  for (let n = 0; n < 200; n++) client.send(1, `{${' '.repeat(100_000)}`)
  await ended
  t.ok(socket.bytesRead < 5_000_000, `${socket.bytesRead} bytes were read`)
})

test('fault 94: a user who connects again and again is refused for the rest of the minute, and nobody else is', async t => {
  const { notifications } = await startApp(t, { limits: { connectsPerUser: 5 } })
  for (let n = 0; n < 5; n++) await (await connectClient(t, notifications('123'))).close()
  const { statusCode, headers, body } = await refusal(notifications('123'))
  t.match({ statusCode, headers, code: JSON.parse(body).code }, { statusCode: 429, headers: { 'retry-after': '5' }, code: 'FST_NOTIFICATION_TOO_MANY_CONNECTIONS_OF_USER' })
  await connectClient(t, notifications('456'))
})

test('fault 94: the connects of so many users are counted at a time, and then anew', async t => {
  const rate = new ConnectRate(1, 2)
  t.same(['a', 'a', 'b', 'c', 'a'].map(userId => rate.admit(userId)), [true, false, true, true, true])
})
