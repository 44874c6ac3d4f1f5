// The application of the soak: fork with --expose-gc and the URL and the queue. Answers each message with its figures.
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import notificationPlugin from '../../src/index.js'

const [amqpUrl, queue] = process.argv.slice(2) as [string, string]
const app = Fastify({ logger: { level: 'error' } })
await app.register(notificationPlugin, {
  amqpUrl, queue, offline: 'dead-letter', prefetch: 200, connectTimeout: 1_000, publishTimeout: 2_000, reconnect: { initialDelay: 20, maxDelay: 500 }
})
await app.listen({ port: 0, host: '127.0.0.1' })

/** What a soak must find flat. */
export interface Figures {
  heapMiB: number
  rssMiB: number
  /** Sockets, timers and the like that keep the event loop alive. */
  handles: number
  /** Listeners on the process, where a leak of them shows. */
  listeners: number
  connections: number
  unsettled: number
  state: string
}

function figures (): Figures {
  globalThis.gc?.()
  const { heapUsed, rss } = process.memoryUsage()
  const { state, unsettled } = app.notifier.health()
  return {
    heapMiB: heapUsed / 2 ** 20,
    rssMiB: rss / 2 ** 20,
    handles: process.getActiveResourcesInfo().length,
    listeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
    connections: app.notifier.size,
    unsettled,
    state
  }
}

process.on('message', () => process.send!(figures()))
process.on('SIGTERM', async () => {
  await app.close()
  process.disconnect()
})
process.send!((app.server.address() as AddressInfo).port)
