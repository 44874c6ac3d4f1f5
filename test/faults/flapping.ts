import { test } from 'tap'
import { useBroker } from '../support/broker.js'
import { connectClient } from '../support/client.js'
import { eventually } from '../support/eventually.js'
import { ackOfNothing } from '../support/frames.js'
import { startMeasured } from '../support/measured.js'
import { startProxy, type Proxy, type Purpose } from '../support/proxy.js'

const INITIAL_DELAY = 20

const faults: ReadonlyArray<[what: string, purpose: Purpose, strike: (proxy: Proxy, purpose: Purpose) => void]> = [
  ['the consumer\'s connection', 'consumer', (proxy, purpose) => proxy.reset(purpose)],
  ['the consumer\'s channel', 'consumer', (proxy, purpose) => proxy.inject(ackOfNothing, purpose)],
  ['the publisher\'s connection', 'publisher', (proxy, purpose) => proxy.reset(purpose)],
  ['the publisher\'s channel', 'publisher', (proxy, purpose) => proxy.inject(ackOfNothing, purpose)],
  ['the connection to other instances', 'relay', (proxy, purpose) => proxy.reset(purpose)]
]

for (const [what, purpose, strike] of faults) {
  test(`fault 67: ${what} is ended whenever it is open: the waits grow, and one line says so`, { timeout: 400_000 }, async t => {
    const broker = await useBroker(t)
    const queue = broker.queueName()
    t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
    const proxy = await startProxy(t, broker.url)
    const { app, log, value, notifications } = await startMeasured(t, {
      amqpUrl: proxy.through(broker.url),
      queue,
      cluster: purpose === 'relay',
      reconnect: { initialDelay: INITIAL_DELAY, maxDelay: 60_000 },
      relay: { receiptTimeout: 600_000 } // nothing is published by itself
    })
    const series = `reconnects_total{purpose="${purpose}"${purpose === 'consumer' ? `,queue="${queue}"` : ''}}`
    const count = (state: string) => log.lines.filter(({ msg }) => msg === `broker ${purpose} ${state}`).length

    for (let times = 0; times < 6; times++) {
      const struck = performance.now()
      strike(proxy, purpose)
      await eventually(async () => await value(series) === times + 1, 'open again')
      const took = performance.now() - struck
      t.ok(took >= 0.79 * INITIAL_DELAY * 2 ** times, `open again after ${took} ms`)
    }
    // A connection that is reset may fail in several ways: each is a reason of its own.
    const reasons = new Set(log.lines.filter(({ msg }) => msg === `broker ${purpose} connecting`).map(({ err }) => (err as Error | undefined)?.message))
    t.ok(count('connecting') <= reasons.size + 1, 'a line for each reason, and one as it was lost again')
    t.equal(count('open'), 2, 'at the start, and when it was open again')
    if (purpose === 'relay') return

    const client = await connectClient(t, notifications('123'))
    await broker.publish(queue, { userId: '123', content: 'hi' }, 'nonsense')
    t.same(await client.received(1), ['hi'])
    await eventually(() => count('open') === 3, 'it has proved useful, and says that it is open')
    await eventually(() => app.notifier.health().unsettled === 0, 'settled')
    const reconnects = await value(series)
    const before = count('connecting')
    strike(proxy, purpose)
    await eventually(async () => await value(series) === reconnects! + 1, 'open again')
    t.equal(count('connecting'), before + 1, 'lost anew, and logged anew')
  })
}
