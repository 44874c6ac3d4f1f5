// Dismissals for devices that were away.
import { Redis } from 'ioredis'
import { test, type Test } from 'tap'
import { startApp, type TestApp } from './support/app.js'
import { eventually } from './support/eventually.js'
import { createClient, next } from './support/notification-client.js'
import { startInstances } from './support/instances.js'
import { usePrivateRedis } from './support/redis.js'
import { connectRich, type Frame } from './support/rich-client.js'

const options = { settle: 'acknowledged', dismiss: true } as const

/** What a client that connects is told, before anything that is sent after that. */
async function toldAtStart (t: Test, { notifications }: TestApp, userId: string): Promise<Frame[]> {
  const client = await connectRich(t, notifications(userId))
  client.socket.send('{"type":"ping"}')
  const told: Frame[] = []
  for (let frame: Frame; (frame = (await client.framesReceived(told.length + 1)).at(-1)!).type !== 'pong';) told.push(frame)
  return told
}

test('fault 74: what one device acknowledges is dismissed on another one that shows it, also if that one was away', async t => {
  const { app, notifications } = await startApp(t, options)
  const phone = createClient(t, notifications('123'), { onNotification: () => new Promise(() => {}) }) // shows it, and nobody looks
  await next(phone, 'open')
  const outcome = app.notifier.notify('123', 'x', { id: 'n' })
  await phone.close()
  t.match(await outcome, { outcome: 'offline' })
  const laptop = createClient(t, notifications('123'), { onNotification () {} })
  await next(laptop, 'open')
  t.match(await app.notifier.notify('123', 'x', { id: 'n' }), { outcome: 'acknowledged' })
  phone.connect()
  t.equal((await next(phone, 'dismiss')).id, 'n')
})

test('fault 74: a client is not told to dismiss what it has handled itself', async t => {
  const { app, notifications } = await startApp(t, options)
  const client = createClient(t, notifications('123'), { onNotification () {} })
  await next(client, 'open')
  await app.notifier.notify('123', 'x', { id: 'own' })
  await client.close()
  const other = createClient(t, notifications('123'), { onNotification () {} })
  await next(other, 'open')
  await app.notifier.notify('123', 'x', { id: 'of the other' })
  await other.close()
  client.connect()
  t.equal((await next(client, 'dismiss')).id, 'of the other')
})

test('fault 74: at most 100 ids are told, the newest, each once, as earlier ones; none without the option and none of another user', async t => {
  for (const dismiss of [true, false]) {
    const started = await startApp(t, { ...options, dismiss })
    const client = createClient(t, started.notifications('123'), { onNotification () {} })
    await next(client, 'open')
    for (let n = 0; n < 130; n++) await started.app.notifier.notify('123', 'x', { id: `n${n}` })
    await started.app.notifier.notify('123', 'x', { id: 'n129' })
    const expected = [{ type: 'dismiss', ids: Array.from({ length: 100 }, (_, n) => `n${n + 30}`), earlier: true }]
    t.same(await toldAtStart(t, started, '123'), dismiss ? expected : [])
    t.same(await toldAtStart(t, started, '456'), [])
  }
})

test('fault 74: with Redis a device is told at whichever instance it comes back', async t => {
  const redis = await usePrivateRedis(t)
  const { apps: [one, two] } = await startInstances(t, 2, { ...options, offline: 'hold', hold: { redis: redis.url } })
  const client = createClient(t, one!.notifications('123'), { onNotification () {} })
  await next(client, 'open')
  const ids = Array.from({ length: 130 }, (_, n) => `n${String(n).padStart(3, '0')}`)
  for (const id of ids) await one!.app.notifier.notify('123', 'x', { id })
  const admin = new Redis(redis.url)
  await eventually(async () => await admin.zscore('notification:{:123}:dismissed', 'n129') !== null, 'Redis has them')
  t.ok(await admin.pttl('notification:{:123}:dismissed') > 0, 'it forgets them by itself')
  admin.disconnect()
  const back = createClient(t, two!.notifications('123'))
  const told: string[] = []
  await new Promise<void>(resolve => back.addEventListener('dismiss', ({ id }) => { if (told.push(id) === 100) resolve() }))
  t.same(told, ids.slice(30))
  await redis.stop()
  const without = createClient(t, two!.notifications('123'))
  await next(without, 'open')
  t.equal(two!.app.notifier.connections('123'), 2, 'a Redis that is away keeps nobody out')
})
