import { test } from 'tap'
import { Backlog } from '../src/websocket/backlog.js'
import type { Connection } from '../src/websocket/connection.js'
import { startApp } from './support/app.js'
import { connectClient } from './support/client.js'
import { startMeasured } from './support/measured.js'
import { connectRaw } from './support/raw-client.js'

const PONG = 10
const MiB = 2 ** 20

test('fault 99: a client that sends pongs without reading the pings is closed', async t => {
  const { notifications } = await startApp(t, { heartbeat: { interval: 500, timeout: 250 } })
  const client = await connectRaw(t, notifications('123')) // it answers nothing
  const pongs = setInterval(() => {
    client.send(PONG, 'alive')
    client.send(PONG, '')
  }, 50)
  t.teardown(() => clearInterval(pongs))
  t.equal(await client.closed, 4001)
})

test('fault 99: what waits for all clients together has a bound; who reads is not touched', async t => {
  const { app, notifications, value } = await startMeasured(t, { limits: { bufferedBytes: 64 * MiB, totalBufferedBytes: 16 * MiB } })
  const reader = await connectClient(t, notifications('reader'))
  const silent = await Promise.all(Array.from({ length: 10 }, (_, n) => connectClient(t, notifications(`silent-${n}`))))
  for (const { socket } of silent) socket.pause()
  const text = 'x'.repeat(MiB)
  let most = 0
  for (let round = 0; round < 20; round++) {
    for (let n = 0; n < silent.length; n++) await app.notifier.notify(`silent-${n}`, text)
    await app.notifier.notify('reader', `round ${round}`)
    await reader.received(round + 1)
    most = Math.max(most, await value('buffered_bytes') ?? 0)
  }
  t.ok(most > 4 * MiB && most <= 18 * MiB, `${most} bytes waited`)
  t.equal(app.notifier.connections('reader'), 1)
  t.ok(app.notifier.size < 11, `${app.notifier.size} are left`)
  const ends = await value('closes_total{code="4000"}')
  t.equal(ends, 11 - app.notifier.size, 'each is counted as too slow')
})

test('fault 99: of all clients those for which most waits are ended, until three quarters of the bound are left', async t => {
  const connections = [10, 40, 0, 30, 25].map(waitingBytes => ({ waitingBytes }) as Connection)
  const ended: number[] = []
  const backlog = new Backlog(100, connections, ({ waitingBytes }) => ended.push(waitingBytes))
  backlog.written(100)
  t.same(ended, [], 'so much may wait')
  backlog.written(1)
  t.same(ended, [40])
})
