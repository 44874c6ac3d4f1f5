import { once } from 'node:events'
import { connect } from 'node:net'
import Fastify from 'fastify'
import { test, type Test } from 'tap'
import notificationPlugin, { type NotificationPluginOptions, type UpgradeContext } from '../../src/index.js'
import { startMeasured } from '../support/measured.js'
import { listen, startApp } from '../support/app.js'
import { connectClient, refusal } from '../support/client.js'
import { eventually } from '../support/eventually.js'

const origin = { headers: { origin: 'https://example.com' } }
const WARNING = 'new connections are refused while calls of authenticate or allowedOrigins run on after their signal has aborted'

/** The two options that decide about an upgrade, by one function. */
const deciders: Array<[name: string, of: (decide: (context: UpgradeContext) => Promise<boolean>) => NotificationPluginOptions]> = [
  ['authenticate', decide => ({ allowedOrigins: '*', authenticate: async (_request, context) => await decide(context) ? '123' : '' })],
  ['an allowedOrigins function', decide => ({ allowedOrigins: async (_origin, _request, context) => await decide(context) })]
]

const codeOf = async (url: string) => JSON.parse((await refusal(url, origin)).body).code

for (const [name, of] of deciders) {
  test(`fault 79: as many calls of ${name} run as limits.pendingUpgrades says, also of those that never return`, async t => {
    const signals: AbortSignal[] = []
    let release = (): void => {}
    const released = new Promise<boolean>(resolve => {
      release = () => resolve(true)
    })
    const options = of(async ({ signal }) => {
      signals.push(signal)
      return await released
    })
    const { app, notifications, log } = await startApp(t, { ...options, limits: { pendingUpgrades: 5, upgradeTimeout: 100 } })
    const first = await Promise.all(Array.from({ length: 5 }, async () => await codeOf(notifications('123'))))
    t.same(first, Array.from({ length: 5 }, () => 'FST_NOTIFICATION_UPGRADE_TIMEOUT'))
    for (const { aborted, reason } of signals) t.match({ aborted, reason }, { aborted: true, reason: { code: 'FST_NOTIFICATION_UPGRADE_TIMEOUT' } })

    for (let n = 0; n < 10; n++) {
      const { statusCode, headers, body } = await refusal(notifications('123'), origin)
      t.match({ statusCode, headers, code: JSON.parse(body).code }, { statusCode: 503, headers: { 'retry-after': '5' }, code: 'FST_NOTIFICATION_TOO_MANY_UPGRADES' })
    }
    t.equal(signals.length, 5, 'no other call was begun')
    t.match(log.lines.filter(({ msg }) => msg === WARNING), [{ level: 40, overdue: 5, running: 5, pendingUpgrades: 5 }], 'one warning')

    release()
    await eventually(async () => await Promise.any([connectClient(t, notifications('123'), origin), refusal(notifications('123'), origin)])
      .then(answer => 'socket' in answer), 'there is room again')
    t.equal(app.notifier.connections('123'), 1)
  })

  test(`${name} that heeds its signal makes room when its time is up`, async t => {
    const options = of(async ({ signal }) => {
      await once(signal, 'abort')
      throw signal.reason
    })
    const { notifications, log } = await startApp(t, { ...options, limits: { pendingUpgrades: 1, upgradeTimeout: 50 } })
    for (let n = 0; n < 3; n++) t.equal(await codeOf(notifications('123')), 'FST_NOTIFICATION_UPGRADE_TIMEOUT')
    t.notOk(log.lines.some(({ msg }) => msg === WARNING))
  })

  for (const end of ['end', 'resetAndDestroy'] as const) {
    test(`fault 25: the signal of ${name} aborts when the client goes (${end}), who is neither registered nor counted as refused`, async t => {
      let begin = (_signal: AbortSignal): void => {}
      const begun = new Promise<AbortSignal>(resolve => {
        begin = resolve
      })
      let release = (): void => {}
      const options = of(async ({ signal }) => {
        begin(signal)
        return await new Promise(resolve => {
          release = () => resolve(true)
        })
      })
      const { app, notifications, registry } = await startMeasured(t, options)
      const before = (await registry.metrics()).split('\n').filter(line => line.includes('refused_total'))
      const { port, pathname, search } = new URL(notifications('123'))
      const socket = connect(Number(port), '127.0.0.1')
      socket.on('error', () => {}).resume()
      socket.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: x\r\nOrigin: https://example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`)
      const signal = await begun
      socket[end]()
      if (!signal.aborted) await once(signal, 'abort')
      t.equal(signal.reason.code, 'FST_NOTIFICATION_CLIENT_GONE')
      release()
      await eventually(() => new Promise(resolve => app.server.getConnections((_error, count) => resolve(count === 0))), 'its socket is ended')
      t.equal(app.notifier.size, 0)
      t.same((await registry.metrics()).split('\n').filter(line => line.includes('refused_total')), before)
    })
  }

  test(`the signal of ${name} aborts when the application closes, and the client may come back`, async t => {
    let begin = (_signal: AbortSignal): void => {}
    const begun = new Promise<AbortSignal>(resolve => {
      begin = resolve
    })
    const options = of(async ({ signal }) => {
      begin(signal)
      return await new Promise(() => {})
    })
    const { app, notifications } = await startApp(t, { ...options, limits: { upgradeTimeout: 600_000 } })
    const answer = refusal(notifications('123'), origin)
    const signal = await begun
    await app.close()
    t.equal(signal.reason.code, 'FST_NOTIFICATION_CLOSING')
    const { statusCode, headers, body } = await answer
    t.match({ statusCode, headers, code: JSON.parse(body).code }, { statusCode: 503, headers: { 'retry-after': '5' }, code: 'FST_NOTIFICATION_CLOSING' })
  })
}

/** An application whose `authenticate` waits, behind a proxy that tells the client's address. */
async function startWaiting (t: Test, trustProxy: boolean) {
  const app = Fastify({ trustProxy })
  t.teardown(() => app.close())
  const waiting: Array<() => void> = []
  await app.register(notificationPlugin, {
    limits: { pendingUpgradesPerAddress: 2, upgradeTimeout: 600_000 },
    authenticate: async () => await new Promise<string>(resolve => waiting.push(() => resolve('123')))
  })
  const { notifications } = await listen(app)
  const from = (address: string) => ({ headers: { 'x-forwarded-for': address } })
  return {
    waiting,
    enter: (address: string) => connectClient(t, notifications('123'), from(address)),
    refused: async (address: string) => await refusal(notifications('123'), from(address))
  }
}

test('fault 93: clients of one address, or of one /64, keep nobody else out', async t => {
  const { waiting, enter, refused } = await startWaiting(t, true)
  const [four, six] = [['192.0.2.1', '192.0.2.1'], ['2001:db8:0:1::1', '2001:db8:0:1:ffff:ffff:ffff:ffff']]
  const opened = [...four!, ...six!].map(enter)
  await eventually(() => waiting.length === 4, 'all are being decided about')
  for (const address of ['192.0.2.1', '::ffff:192.0.2.1', '2001:db8:0:1:0:0:0:9', '2001:DB8:0:1::']) {
    const { statusCode, headers, body } = await refused(address)
    t.match({ statusCode, headers, code: JSON.parse(body).code }, { statusCode: 429, headers: { 'retry-after': '5' }, code: 'FST_NOTIFICATION_TOO_MANY_UPGRADES_OF_ADDRESS' }, address)
  }
  opened.push(enter('192.0.2.2'), enter('2001:db8:0:2::1'))
  await eventually(() => waiting.length === 6, 'others are let in')
  for (const decide of waiting.splice(0)) decide()
  await Promise.all(opened)
  const again = enter('192.0.2.1')
  await eventually(() => waiting.length === 1, 'there is room again')
  waiting[0]!()
  await again
})

test('without trustProxy, the address is that of the socket, whatever a header says', async t => {
  const { waiting, enter, refused } = await startWaiting(t, false)
  const opened = ['192.0.2.1', '192.0.2.2'].map(enter)
  await eventually(() => waiting.length === 2, 'both are being decided about')
  t.equal((await refused('192.0.2.3')).statusCode, 429)
  for (const decide of waiting) decide()
  await Promise.all(opened)
})
