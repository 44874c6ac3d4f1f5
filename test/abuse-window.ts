import { test, type Test } from 'tap'
import { startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { eventually } from './support/eventually.js'
import { exchangeNews, startInstances } from './support/instances.js'
import { usePrivateRedis } from './support/redis.js'
import { connectRich, type RichClient } from './support/rich-client.js'

const prefetch = 100
const settle = 'acknowledged'

/** Acknowledges whatever comes. */
function acknowledgeAll (client: RichClient): void {
  client.onFrame(({ type, id }) => { if (type === 'notification') client.ack(id!) })
}

async function connectSilent (t: Test, url: string): Promise<void> {
  for (let n = 0; n < 12; n++) await connectRich(t, url)
}

for (const offline of ['hold', 'dead-letter', 'drop'] as const) {
  test(`fault 90: one user with 12 silent connections does not keep the others waiting (${offline})`, async t => {
    const broker = await useBroker(t)
    const queue = broker.queueName()
    const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, settle, offline, prefetch, ackTimeout: 600_000, drainTimeout: 100 })
    await connectSilent(t, notifications('silent'))
    const good = await connectRich(t, notifications('good'))
    acknowledgeAll(good)
    const toSilent = Array.from({ length: 3 * prefetch }, (_, n) => ({ userId: 'silent', content: n, id: `s${n}` }))
    const toGood = Array.from({ length: 20 }, (_, n) => ({ userId: 'good', content: n, id: `g${n}` }))
    await broker.publish(queue, ...toSilent, ...toGood)
    t.same((await good.framesReceived(20)).map(({ content }) => content), toGood.map(({ content }) => content))
    // Those that are given up may wait for the broker to confirm their dead letters.
    await eventually(() => app.notifier.health().unsettled < prefetch, 'a part of the window is free')
  })
}

for (const offline of ['hold', 'dead-letter', 'drop'] as const) {
  test(`fault 90: neither do they if they are connected to another instance (${offline})`, async t => {
    const hold = offline === 'hold' ? { redis: (await usePrivateRedis(t)).url } : {}
    const { broker, queue, apps: [taker, other] } = await startInstances(t, 2, { settle, offline, hold, prefetch, ackTimeout: 600_000, drainTimeout: 100 })
    await connectSilent(t, other!.notifications('silent'))
    const good = await connectRich(t, other!.notifications('good'))
    acknowledgeAll(good)
    await exchangeNews(t, taker!, other!)
    const toSilent = Array.from({ length: 3 * prefetch }, (_, n) => ({ userId: 'silent', content: n, id: `s${n}` }))
    const toGood = Array.from({ length: 20 }, (_, n) => ({ userId: 'good', content: n, id: `g${n}` }))
    await broker.publish(queue, ...toSilent, ...toGood)
    t.same((await good.framesReceived(20)).map(({ content }) => content), toGood.map(({ content }) => content))
    await eventually(() => taker!.app.notifier.health().unsettled < prefetch, 'a part of the window is free')
  })
}

test('fault 90: messages to many that wait for silent clients on another instance do not keep the others waiting', async t => {
  const { broker, queue, apps: [taker, other] } = await startInstances(t, 2, { settle, prefetch, maxUnacked: 1_000, ackTimeout: 600_000, drainTimeout: 100 })
  await connectRich(t, other!.notifications('silent'))
  const good = await connectRich(t, other!.notifications('good'))
  acknowledgeAll(good)
  await exchangeNews(t, taker!, other!)
  const toAll = Array.from({ length: 3 * prefetch }, (_, n) => ({ everybody: true, content: n, id: `a${n}` }))
  const toGood = Array.from({ length: 20 }, (_, n) => ({ userId: 'good', content: 'own', id: `g${n}` }))
  await broker.publish(queue, ...toAll, ...toGood)
  await good.until(() => good.frames.filter(({ content }) => content === 'own').length === 20, () => 'its own')
  const { offline, acknowledged } = other!.app.notifier.stats()
  t.ok(offline > 0, `${offline} were not acknowledged by the silent one, ${acknowledged} acknowledged`)
})

for (const offline of ['hold', 'dead-letter', 'drop'] as const) {
  test(`fault 90: large messages for one user with silent connections take a share of the memory, and others get theirs (${offline})`, async t => {
    const broker = await useBroker(t)
    const queue = broker.queueName()
    const limits = { unsettledBytes: 2 ** 20 }
    const { notifications } = await startApp(t, { amqpUrl: broker.url, queue, settle, offline, limits, ackTimeout: 600_000, drainTimeout: 100 })
    await connectSilent(t, notifications('silent'))
    const good = await connectRich(t, notifications('good'))
    acknowledgeAll(good)
    const rest = 'x'.repeat(10_000) // the content alone does not say how much memory a message takes
    const toSilent = Array.from({ length: 100 }, (_, n) => ({ userId: 'silent', content: n, rest }))
    const toGood = Array.from({ length: 20 }, (_, n) => ({ userId: 'good', content: n, id: `g${n}` }))
    await broker.publish(queue, ...toSilent, ...toGood)
    t.same((await good.framesReceived(20)).map(({ content }) => content), toGood.map(({ content }) => content))
  })
}

test('fault 90: a warning at start where one connection can use up more than a share of the window', async t => {
  const warning = 'one connection can keep the messages of other users waiting: set prefetch to at least four times maxUnacked, or offline to hold'
  for (const [options, isWarned] of [
    [{ prefetch: 399 }, true],
    [{ prefetch: 400 }, false],
    [{ prefetch: 399, offline: 'hold' }, false],
    [{ prefetch: 3, maxUnacked: 1, offline: 'hold' }, true],
    [{ prefetch: 1, settle: 'sent' }, false]
  ] as const) {
    const broker = await useBroker(t)
    const { app, log } = await startApp(t, { amqpUrl: broker.url, queue: broker.queueName(), settle, ...options })
    t.equal(log.lines.some(({ msg, level }) => msg === warning && level === 40), isWarned, JSON.stringify(options))
    await app.close()
  }
})
