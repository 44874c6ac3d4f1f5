import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { test } from 'tap'
import websocket from '@fastify/websocket'
import { startApp, warningsIn } from './support/app.js'
import { connectClient, refusal } from './support/client.js'
import { eventually } from './support/eventually.js'
import { connectRaw } from './support/raw-client.js'

const TEXT = 1
const BINARY = 2
const PING = 9

test('fault 29: one connection more of a user, or of all, is refused before the upgrade, for a while', async t => {
  const { app, notifications } = await startApp(t, { limits: { connections: 3, connectionsPerUser: 2 } })
  const tabs = await Promise.all([1, 2].map(() => connectClient(t, notifications('123'))))
  const ofUser = await refusal(notifications('123'))
  t.match(ofUser, { statusCode: 429, headers: { 'retry-after': '5' } })
  t.equal(JSON.parse(ofUser.body).code, 'FST_NOTIFICATION_TOO_MANY_CONNECTIONS_OF_USER')
  await connectClient(t, notifications('456'))
  const ofAll = await refusal(notifications('789'))
  t.match(ofAll, { statusCode: 503, headers: { 'retry-after': '5' } })
  t.equal(JSON.parse(ofAll.body).code, 'FST_NOTIFICATION_TOO_MANY_CONNECTIONS')

  await tabs[0]!.close()
  await eventually(() => app.notifier.size === 2, 'there is room again')
  await connectClient(t, notifications('123'))
  t.equal(app.notifier.size, 3)
})

test('fault 29: many at once do not get past the limit', async t => {
  const { app, notifications } = await startApp(t, { authenticate: async () => '123', limits: { connectionsPerUser: 5 } })
  const answers = await Promise.allSettled(Array.from({ length: 40 }, () => connectClient(t, notifications('123'))))
  t.equal(answers.filter(({ status }) => status === 'fulfilled').length, 5)
  t.equal(app.notifier.size, 5)
})

const limits = { frameBytes: 1_024, framesPerSecond: 20 }
const hostile: Array<[name: string, code: number, attack: (send: Awaited<ReturnType<typeof connectRaw>>['send']) => void]> = [
  ['fault 30: a binary frame', 1003, send => send(BINARY, randomBytes(10))],
  ['fault 30: a frame of 1 MiB', 1009, send => send(TEXT, Buffer.alloc(2 ** 20, 'x'))],
  ['fault 30: 10,000 frames at once', 1008, send => { for (let n = 0; n < 10_000; n++) send(TEXT, 'x') }],
  ['fault 30: 10,000 pings at once', 1008, send => { for (let n = 0; n < 10_000; n++) send(PING, 'x') }],
  ['fault 30: a message of 10,000 fragments', 1008, send => {
    send(TEXT, '', { fin: false })
    for (let n = 0; n < 10_000; n++) send(0, '', { fin: false })
  }],
  ['fault 32: an unmasked frame', 1002, send => send(TEXT, 'x', { masked: false })],
  ['fault 32: reserved bits', 1002, send => send(TEXT, 'x', { rsv: 4 })],
  ['fault 32: a reserved opcode', 1002, send => send(3, 'x')],
  ['fault 32: a fragmented ping', 1002, send => send(PING, 'x', { fin: false })],
  ['fault 32: a continuation of nothing', 1002, send => send(0, 'x')],
  ['fault 32: a ping of 126 bytes', 1002, send => send(PING, Buffer.alloc(126))],
  ['fault 32: a close frame of one byte', 1002, send => send(8, 'x')],
  ['fault 32: a close code that may not be sent', 1002, send => send(8, Buffer.from([3, 237]))],
  ['fault 32: invalid UTF-8 as text', 1007, send => send(TEXT, Buffer.from([0xff, 0xfe]))]
]

for (const own of [false, true]) {
  test(`hostile clients, @fastify/websocket registered by ${own ? 'the application' : 'the plugin'}`, async t => {
    const { app, notifications, log } = await startApp(t, { limits }, async app => { if (own) await app.register(websocket) })
    const good = await connectClient(t, notifications('good'))
    // How many fragments there may be is for who registers it to say.
    for (const [n, [name, code, attack]] of hostile.filter(([name]) => !own || !name.includes('fragments')).entries()) {
      const client = await connectRaw(t, notifications(`bad-${n}`))
      attack(client.send)
      t.equal(await client.closed, code, name)
      await app.notifier.notify('good', name)
      t.equal((await good.received(n + 1)).at(-1), name, 'others are served')
    }
    await eventually(() => app.notifier.size === 1, 'all of them are gone')
    if (!own) t.same(warningsIn(log), [])
  })
}

test('fault 30: a flood that goes on after the close frame is not read', async t => {
  const { app, notifications } = await startApp(t, { limits })
  const accepted = once(app.server, 'connection')
  const client = await connectRaw(t, notifications('123'))
  const [server] = await accepted as [Socket]
  for (let n = 0; n < 200_000; n++) client.send(PING, Buffer.alloc(100))
  t.equal(await client.closed, 1008)
  await new Promise(resolve => client.socket.once('close', resolve))
  t.ok(server.bytesRead < 5_000_000, `${server.bytesRead} of 21,200,000 bytes were read`)
})

test('fault 29: connections that are closing count for their user', async t => {
  const { notifications } = await startApp(t, { limits: { connections: 10, connectionsPerUser: 2 } })
  for (let n = 0; n < 2; n++) {
    const client = await connectRaw(t, notifications('mallory')) // answers no close frame
    client.send(BINARY, 'x')
    t.equal(await client.closed, 1003)
  }
  t.equal((await refusal(notifications('mallory'))).statusCode, 429)
  await connectClient(t, notifications('somebody else'))
})

test('fault 32: who breaks the protocol and keeps the connection open is gone all the same', async t => {
  const { app, notifications } = await startApp(t, {})
  const client = await connectRaw(t, notifications('123'))
  client.send(3, 'x')
  t.equal(await client.closed, 1002)
  t.equal(app.notifier.connections('123'), 0)
  t.equal(app.notifier.disconnect('123'), 0)
  await eventually(() => new Promise(resolve => app.server.getConnections((_error, count) => resolve(count === 0))), 'its socket is ended')
})

test('fault 30: a few short texts from a plain client are ignored', async t => {
  const { app, notifications } = await startApp(t, {})
  const client = await connectClient(t, notifications('123'))
  client.socket.send('keep alive')
  client.socket.send('{"userId":"456","content":"from a client"}')
  await app.notifier.notify('123', 'still here')
  t.same(await client.received(1), ['still here'])
})

test('fault 31: compression is not negotiated, whoever asks for it', async t => {
  const { notifications } = await startApp(t, {}, async app => { await app.register(websocket, { options: { perMessageDeflate: true } }) })
  const { head } = await connectRaw(t, notifications('123'), { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' })
  t.match(head, /^HTTP\/1.1 101 /)
  t.notMatch(head.toLowerCase(), 'sec-websocket-extensions')
})

test('fault 20: a client that does not read is closed at the limit; others see nothing of it, and memory is bounded', async t => {
  const { app, notifications } = await startApp(t, { limits: { bufferedBytes: 1_048_576 } })
  const slow = await connectRaw(t, notifications('slow'))
  slow.socket.pause()
  const good = await connectClient(t, notifications('good'))
  const content = 'x'.repeat(1_000_000)

  const before = process.memoryUsage()
  let sent = 0
  for (let n = 0; n < 100; n++) { // so few that this takes less than the two seconds after which a client that does not answer is cut off
    const { outcome } = await app.notifier.notify('slow', content)
    if (outcome === 'sent') sent++
    await app.notifier.notify('good', String(n))
    if (n % 5 === 0) await good.received(n + 1)
  }
  t.same((await good.received(100)).map(Number), Array.from({ length: 100 }, (_, n) => n))
  t.ok(sent < 20, `${sent} of 100 were handed to it, the rest followed the offline policy`)
  t.match(app.notifier.stats(), { offline: 100 - sent })
  t.equal(app.notifier.connections('slow'), 0)
  const grown = (process.memoryUsage().external + process.memoryUsage().arrayBuffers - before.external - before.arrayBuffers) / 2 ** 20
  t.ok(grown < 50, `${grown.toFixed(0)} MiB for 100 MB`)
  slow.socket.resume()
  t.equal(await slow.closed, 4000)
})

test('fault 33: what is sent while a client closes is counted, and follows the offline policy', async t => {
  const { app, notifications } = await startApp(t, {})
  const clients = await Promise.all(Array.from({ length: 20 }, (_, n) => connectClient(t, notifications(String(n)))))
  const sending = Promise.all(clients.map(async (client, n) => {
    const outcomes: string[] = []
    for (let times = 0; times < 200; times++) {
      if (times === 20 + n) client.socket.close()
      outcomes.push((await app.notifier.notify(String(n), 'x')).outcome)
      if (times % 10 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    return outcomes
  }))
  const outcomes = (await sending).flat()
  const { sent, offline } = app.notifier.stats()
  t.equal(sent + offline, 4_000)
  t.equal(outcomes.filter(outcome => outcome === 'offline').length, offline)
  t.ok(offline > 0)
})

test('fault 26: one of two tabs ends, in whichever way: the other goes on', async t => {
  const { app, notifications } = await startApp(t, {})
  const stays = await connectClient(t, notifications('123'))
  for (const end of ['close', 'terminate'] as const) {
    const goes = await connectClient(t, notifications('123'))
    goes.socket[end]()
    await eventually(() => app.notifier.connections('123') === 1, 'gone')
    await app.notifier.notify('123', end)
  }
  t.same(await stays.received(2), ['close', 'terminate'])
})

test('fault 24: clients that come and go leave nothing behind', async t => {
  const { app, notifications } = await startApp(t, {})
  const listeners = () => app.server.listenerCount('upgrade') + process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)
  const before = listeners()
  for (let round = 0; round < 20; round++) {
    const clients = await Promise.all(Array.from({ length: 25 }, (_, n) => connectClient(t, notifications(String(n)))))
    for (const [n, { socket }] of clients.entries()) n % 2 === 0 ? socket.close() : socket.terminate()
    await Promise.all(clients.map(({ closed }) => closed))
  }
  await eventually(() => app.notifier.size === 0, 'all are gone')
  t.equal(app.notifier.users.size, 0)
  t.equal(listeners(), before)
})
