import { once } from 'node:events'
import { test, type Test } from 'tap'
import { freePorts } from '../../support/network.mjs'
import type { NotificationPluginOptions } from '../../src/index.js'
import { useBroker } from '../support/broker.js'
import { connectClient } from '../support/client.js'
import { eventually } from '../support/eventually.js'
import { startProgram } from '../support/process.js'
import type { Figures } from '../support/restartable-app.js'
import { connectRich } from '../support/rich-client.js'

const HOUR = 3_600_000

/** How often the server looks for what is overdue: once for each of the parts of the heartbeat. */
const TICKS = 25

async function startInstance (t: Test, amqpUrl: string, queue: string, options: NotificationPluginOptions) {
  const [port] = await freePorts(1)
  const child = startProgram(t, 'test/support/wall-clock-instance.ts', [amqpUrl, queue, '', String(port), JSON.stringify(options)])
  await once(child.stdout!, 'data')
  const notifications = (userId: string) => `ws://127.0.0.1:${port}/notification?userId=${userId}`
  const figures = async (): Promise<Figures> => {
    const response = await fetch(`http://127.0.0.1:${port}/figures`)
    return await response.json() as Figures
  }
  await eventually(async () => (await figures()).health.state === 'consuming', 'the application consumes')
  // Each is pinged in another tick.
  const watchers = await Promise.all(Array.from({ length: TICKS }, () => connectClient(t, notifications('watcher'))))
  let pings = 0
  for (const { socket } of watchers) socket.on('ping', () => { pings++ })

  return {
    notifications,
    figures,
    /** Sets the wall clock on, or back; resolves when the server has looked for what is overdue since. */
    async stepWallClock (milliseconds: number): Promise<void> {
      const set = once(child, 'message')
      child.send(milliseconds)
      await set
      const before = pings
      await eventually(() => pings >= before + 3, 'the server has looked')
    }
  }
}

test('fault 76: a step of the wall clock closes nobody, and nothing expires by it', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { figures, notifications, stepWallClock } = await startInstance(t, broker.url, queue, {
    hold: { maxAge: HOUR }, settle: 'acknowledged', ackTimeout: 600_000, heartbeat: { interval: 25_000, timeout: 20_000 }
  })
  const client = await connectRich(t, notifications('123'))
  await broker.publish(queue, { userId: '123', content: 'unacknowledged', id: 'a' })
  await client.framesReceived(1)
  await broker.publishWith({ persistent: true, expiration: '600000' }, queue, { userId: '456', content: 'expires', id: 'b' })
  await broker.publish(queue, { userId: '456', content: 'ages', id: 'c' })
  await eventually(async () => (await figures()).stats.held === 2, 'held')

  for (const step of [31_000, 5 * HOUR, -12 * HOUR]) await stepWallClock(step)
  await broker.publish(queue, { userId: '456', content: 'newer, by an older clock', id: 'd' })
  await eventually(async () => (await figures()).stats.held === 3, 'held too')
  await stepWallClock(20 * HOUR)

  client.ack('a')
  await eventually(async () => (await figures()).stats.acknowledged === 1, 'the client is still connected')
  t.match((await figures()).stats, { dropped: { overflow: 0, expired: 0 }, offline: 0 })
  const other = await connectRich(t, notifications('456'))
  t.same((await other.framesReceived(3)).map(({ id }) => id), ['b', 'c', 'd'])
})
