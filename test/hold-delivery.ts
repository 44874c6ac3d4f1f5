import { test } from 'tap'
import { startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { eventually } from './support/eventually.js'
import { connectRaw } from './support/raw-client.js'
import { usePrivateRedis } from './support/redis.js'
import { connectRich } from './support/rich-client.js'

const options = { settle: 'acknowledged', offline: 'hold' } as const

test('what comes while its user only has a connection that is closing waits for another', async t => {
  const { app, notifications } = await startApp(t, options)
  const closing = await connectRaw(t, notifications('123'), { 'Sec-WebSocket-Protocol': 'notification.v1' })
  closing.socket.allowHalfOpen = true // it does not end
  closing.send(8, Buffer.from([0x03, 0xe8]))
  t.equal(await closing.closed, 1000)
  t.equal(app.notifier.connections('123'), 1)
  t.match(await app.notifier.notify('123', 'hello', { id: 'x' }), { outcome: 'held' })

  const client = await connectRich(t, notifications('123'))
  t.match(await client.framesReceived(1), [{ id: 'x', content: 'hello' }])
  client.ack('x')
})

test('what a client acknowledges when its connection was given up leaves the hold, and is counted', async t => {
  const redis = await usePrivateRedis(t)
  for (const hold of [{}, { redis: redis.url }]) {
    const { app, notifications } = await startApp(t, { ...options, hold, journal: 100 })
    const late = await connectRaw(t, notifications('123'), { 'Sec-WebSocket-Protocol': 'notification.v1' })
    const pending = app.notifier.notify('123', 'hello', { id: 'x' })
    app.notifier.disconnect('123')
    t.match(await pending, { outcome: 'held' })
    t.equal(await late.closed, 4502)
    late.send(1, '{"type":"ack","ids":["x","never sent","x"]}')
    await eventually(() => app.notifier.stats().released === 1, 'counted')
    t.match(app.notifier.stats(), { held: 1, released: 1, acknowledged: 1 })
    t.match(app.notifier.trace({ id: 'x' }), [{ event: 'held', from: 'notify' }, { event: 'acknowledged', from: 'hold', connections: 1 }])
    const client = await connectRich(t, notifications('123'))
    app.notifier.notify('123', 'the next', { id: 'y' }).catch(() => {})
    t.match(await client.framesReceived(1), [{ id: 'y' }])
    client.ack('x', 'y')
    await eventually(() => app.notifier.stats().acknowledged === 2, 'acknowledged')
    t.equal(app.notifier.trace({ id: 'x' }).length, 2, 'once')
  }
})

test('however many wait for Redis, nothing looks like a leak', async t => {
  const warnings: string[] = []
  const warned = ({ message }: Error) => { warnings.push(message) }
  process.on('warning', warned)
  t.teardown(() => process.off('warning', warned))
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const redis = await usePrivateRedis(t)
  const { app } = await startApp(t, { ...options, amqpUrl: broker.url, queue, hold: { redis: redis.url } })
  await redis.stop()
  await broker.publish(queue, ...Array.from({ length: 20 }, (_, n) => ({ userId: `user-${n}`, content: n })))
  await eventually(() => app.notifier.health().unsettled === 20, 'all wait')
  await redis.start()
  await eventually(() => app.notifier.stats().held === 20, 'all are held')
  t.same(warnings, [])
})
