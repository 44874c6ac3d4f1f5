import { Registry } from 'prom-client'
import { test } from 'tap'
import notificationPlugin from '../src/index.js'
import { createApp, listen } from './support/app.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { assertBounded, startMeasured, valueIn } from './support/measured.js'
import { connectRaw } from './support/raw-client.js'

test('connects and closes, by code: the one that was sent, else the one that came, and few of them', async t => {
  const { app, notifications, registry, value, reaches } = await startMeasured(t, { limits: { connections: 123, bufferedBytes: 1 } })
  const open = () => connectClient(t, notifications('123'))
  const series = (code: string) => `closes_total{code="${code}"}`
  t.equal(await value('connections_limit'), 123)

  const two = [await open(), await open()]
  t.equal(await value('connections'), 2)
  t.equal(await value('users'), 1)
  t.equal(await value('connects_total'), 2)
  app.notifier.disconnect('123')
  await Promise.all(two.map(({ closed }) => closed))
  await reaches(series('4502'), 2)
  t.equal(await value('connections'), 0)

  for (const [code, label] of [[1000, '1000'], [undefined, '1005'], [3999, 'other'], [4321, 'other']] as const) {
    const before = (await value(series(label)))!
    ;(await open()).socket.close(code)
    await reaches(series(label), before + 1)
  }
  ;(await open()).socket.terminate()
  await reaches(series('1006'), 1)
  ;(await open()).socket.send(Buffer.from('binary'), { binary: true })
  await reaches(series('1003'), 1)
  for (const [code, opcode, payload] of [['1002', 0xb, ''], ['1007', 1, Buffer.from([0xff])], ['1009', 1, Buffer.alloc(5_000, 'x')]] as const) {
    const raw = await connectRaw(t, notifications('123'))
    raw.send(opcode, payload)
    await reaches(series(code), 1)
  }

  const slow = await connectRaw(t, notifications('slow'))
  slow.socket.pause()
  await eventually(async () => {
    await app.notifier.notify('slow', 'x'.repeat(1_000_000))
    return !app.notifier.users.has('slow')
  }, 'closed as too slow')
  slow.socket.destroy()
  await reaches(series('4000'), 1) // though no answer came

  t.equal(await value('connections'), 0)
  await assertBounded(t, registry, [])
})

test('what waits for clients to read it', async t => {
  const { app, notifications, value } = await startMeasured(t)
  t.equal(await value('buffered_bytes'), 0)
  const slow = await connectRaw(t, notifications('slow'))
  slow.socket.pause()
  await eventually(async () => {
    await app.notifier.notify('slow', 'x'.repeat(100_000))
    return (await value('buffered_bytes'))! >= 100_000
  }, 'waits')
  t.equal(await value('closes_total{code="4000"}'), 0)
})

test("a socket that is the application's again has not been closed", async t => {
  const metrics = new Registry()
  const { app } = createApp(t)
  await app.register(notificationPlugin, { metrics })
  app.get('/own', { websocket: true }, socket => {
    app.notifier.register('123', socket)
    app.notifier.unregister('123', socket)
    socket.close(1000)
  })
  const { at } = await listen(app)
  const client = await connectClient(t, at('/own'))
  t.match(await client.closed, { code: 1000 })
  t.equal(await valueIn(metrics, 'connects_total'), 1)
  t.equal(await valueIn(metrics, 'closes_total{code="released"}'), 1)
  t.equal(await valueIn(metrics, 'closes_total{code="1000"}'), 0)
})
