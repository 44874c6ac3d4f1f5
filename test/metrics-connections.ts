import { EventEmitter, once } from 'node:events'
import type { FastifyRequest } from 'fastify'
import { Registry } from 'prom-client'
import { test } from 'tap'
import notificationPlugin, { type Identity, type UpgradeContext } from '../src/index.js'
import { createApp, listen } from './support/app.js'
import { connectClient, refusal } from './support/client.js'
import { eventually } from './support/eventually.js'
import { assertBounded, startMeasured, valueIn } from './support/measured.js'
import { startWithReleased } from './support/released.js'
import { connectRaw } from './support/raw-client.js'

test('metrics count connects, and closes by the code that was sent, else that came, and few codes', async t => {
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

test('metrics show the bytes that wait for clients to read them', async t => {
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

test("metrics do not count a socket that is the application's again as closed", async t => {
  const metrics = new Registry()
  const { closed } = await startWithReleased(t, { metrics })
  t.match(closed, { code: 1000 })
  t.equal(await valueIn(metrics, 'connects_total'), 1)
  t.equal(await valueIn(metrics, 'closes_total{code="released"}'), 1)
  t.equal(await valueIn(metrics, 'closes_total{code="1000"}'), 0)
})

test('metrics count refused upgrades, by what was answered, and why', async t => {
  const identities: Record<string, Identity | Error> = {
    nobody: '',
    expired: { userId: 'expired', expiresAt: 1 },
    invalid: 7 as never,
    'app-401': Object.assign(new Error('no token'), { statusCode: 401, code: 'FST_JWT_NO_AUTHORIZATION_IN_HEADER' }),
    'app-418': Object.assign(new Error('a teapot'), { statusCode: 418, code: 7 }),
    'app-502': Object.assign(new Error('no database'), { statusCode: 502 }),
    other: 'somebody else'
  }
  const asked = new EventEmitter()
  function authenticate ({ query }: FastifyRequest, { signal }: UpgradeContext): Identity | Promise<Identity> {
    const { userId } = query as { userId: string }
    if (userId === 'slow') {
      asked.emit('slow')
      return new Promise((_resolve, reject) => { signal.addEventListener('abort', () => reject(signal.reason)) })
    }
    const identity = identities[userId] ?? userId
    if (identity instanceof Error) throw identity
    return identity
  }
  const limits = { connections: 2, connectionsPerUser: 1, pendingUpgrades: 1, upgradeTimeout: 4_000 }
  const { notifications, at, registry, value } = await startMeasured(t, { authenticate, limits })
  const of = async (status: string, reason: string) => await value(`refused_total{status="${status}",reason="${reason}"}`)
  async function isRefused (status: number, label: string, reason: string, url: string, ...client: [options?: object, protocol?: string]): Promise<void> {
    const before = await of(label, reason) ?? 0
    t.equal((await refusal(url, ...client)).statusCode, status)
    t.equal(await of(label, reason), before + 1, `${label} ${reason}`)
  }

  t.equal(await of('503', 'too-many-connections'), 0, 'there from the start, or it would not increase')
  t.equal(await of('401', 'application'), 0)
  await isRefused(400, '400', 'invalid-user-id', at('/notification?userId='))
  await isRefused(400, '400', 'unknown-subprotocol', notifications('1'), {}, 'soap')
  await isRefused(403, '403', 'forbidden-origin', notifications('1'), { origin: 'https://example.com' })
  await isRefused(403, '403', 'forbidden-user', notifications('other'))
  for (const user of ['nobody', 'expired']) await isRefused(401, '401', 'unauthenticated', notifications(user))
  await isRefused(401, '401', 'application', notifications('app-401'))
  await isRefused(418, 'other', 'application', notifications('app-418'))
  await isRefused(502, '502', 'authenticate-failed', notifications('app-502'))
  await isRefused(500, '500', 'invalid-identity', notifications('invalid'))

  const isAsked = once(asked, 'slow')
  const slow = isRefused(503, '503', 'upgrade-timeout', notifications('slow'))
  await isAsked
  await isRefused(503, '503', 'too-many-upgrades', notifications('2'))
  await slow

  await connectClient(t, notifications('1'))
  await isRefused(429, '429', 'too-many-connections-of-user', notifications('1'))
  await connectClient(t, notifications('2'))
  await isRefused(503, '503', 'too-many-connections', notifications('3'))

  const before = await registry.metrics()
  const plain = at('/notification?userId=1').replace('ws', 'http')
  t.equal((await fetch(plain)).status, 426)
  t.equal((await refusal(at('/elsewhere'))).statusCode, 404)
  const counts = (text: string) => text.split('\n').filter(line => line.includes('refused_total'))
  t.same(counts(await registry.metrics()), counts(before), 'neither is an upgrade of this route')
  await assertBounded(t, registry, [])
})

test("metrics count upgrades that the application's own hooks refuse, or leave without an answer", async t => {
  const metrics = new Registry()
  const { app } = createApp(t)
  // Before the plugin, and so before anybody knows that it is an upgrade.
  app.addHook('onRequest', async ({ query }, reply) => {
    const { userId } = query as { userId: string }
    if (userId === 'refused') return await reply.code(403).send('no')
    if (userId === 'hangs') await new Promise(() => {})
  })
  await app.register(notificationPlugin, { metrics, limits: { upgradeTimeout: 4_000, pendingUpgrades: 1 } })
  const { notifications } = await listen(app)
  t.equal((await refusal(notifications('refused'))).statusCode, 403)
  t.equal(await valueIn(metrics, 'refused_total{status="403",reason="application"}'), 1)

  const hanging = [1, 2, 3].map(async () => await refusal(notifications('hangs')))
  t.equal((await Promise.race(hanging)).statusCode, 503)
  t.equal(await valueIn(metrics, 'refused_total{status="503",reason="too-many-upgrades"}'), 1)
  for (const one of hanging) t.equal((await one).statusCode, 503)
  t.equal(await valueIn(metrics, 'refused_total{status="503",reason="upgrade-timeout"}'), 2)
  await assertBounded(t, metrics, [])
})
