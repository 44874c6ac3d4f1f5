import { spawn } from 'node:child_process'
import { once } from 'node:events'
import websocket from '@fastify/websocket'
import { test } from 'tap'
import { startApp } from '../support/app.js'
import { connectClient } from '../support/client.js'
import { eventually } from '../support/eventually.js'
import { startProxy } from '../support/proxy.js'
import { connectRaw } from '../support/raw-client.js'

const heartbeat = { interval: 500, timeout: 250 }

test('a client that answers the pings stays connected', async t => {
  const { app, notifications } = await startApp(t, { heartbeat })
  const client = await connectClient(t, notifications('123'))
  for (let pings = 0; pings < 4; pings++) await once(client.socket, 'ping')
  t.equal(app.notifier.connections('123'), 1)
})

test('fault 21: a client that vanishes without a word is gone within a ping and its time limit', async t => {
  // With its own WebSocket server, which ends silent clients after 30 s.
  const { app, log, notifications } = await startApp(t, { heartbeat }, async app => { await app.register(websocket) })
  const url = notifications('123')
  const proxy = await startProxy(t, url)
  await connectClient(t, proxy.through(url))
  proxy.blackhole()
  const began = Date.now()
  await eventually(() => app.notifier.connections('123') === 0, 'gone')
  t.ok(Date.now() - began < heartbeat.interval + heartbeat.timeout + 15_000, `after ${Date.now() - began} ms`)
  t.equal((await app.notifier.notify('123', 'x')).outcome, 'offline')
  // Its socket is ended too, though it answers no close frame.
  t.match(await log.line('client disconnected'), { code: 1006 })
  t.ok(Date.now() - began < 29_000, `after ${Date.now() - began} ms`)
})

test('fault 22: a client whose process is frozen is gone within a ping and its time limit', async t => {
  const { app, notifications } = await startApp(t, { heartbeat })
  const client = spawn(process.execPath, ['--eval', `
    const { WebSocket } = require('ws')
    new WebSocket(${JSON.stringify(notifications('123'))}).on('open', () => console.log('open'))
  `], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => client.kill('SIGKILL'))
  await once(client.stdout, 'data')
  client.kill('SIGSTOP')
  await eventually(() => app.notifier.connections('123') === 0, 'gone')
  client.kill('SIGCONT')
})

test('a client that reads and does not answer pings is closed with 4001', async t => {
  const { notifications } = await startApp(t, { heartbeat })
  const client = await connectRaw(t, notifications('123')) // it answers nothing
  t.equal(await client.closed, 4001)
})

test('pings are spread over the interval', async t => {
  const { notifications } = await startApp(t, { heartbeat: { interval: 2_000, timeout: 1_500 } })
  const clients = await Promise.all(Array.from({ length: 50 }, (_, n) => connectClient(t, notifications(String(n)))))
  const times = await Promise.all(clients.map(async ({ socket }) => {
    await once(socket, 'ping')
    return performance.now()
  }))
  const first = Math.min(...times)
  const perTenth = Array.from({ length: 11 }, (_, tenth) => times.filter(time => Math.floor((time - first) / 200) === tenth).length)
  t.ok(Math.max(...perTenth) <= 25, `in each tenth of the interval: ${perTenth}`)
})
