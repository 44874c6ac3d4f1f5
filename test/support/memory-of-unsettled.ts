// An application that tells how much memory it takes, and how much of it is counted for its unsettled messages:
// node --expose-gc --import tsx memory-of-unsettled.ts <amqpUrl> <queue>
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { Registry } from 'prom-client'
import notificationPlugin from '../../src/index.js'
import { valueIn } from './measured.js'

/** In bytes; `unsettled` in messages. */
export interface MemoryOfUnsettled { readonly unsettled: number, readonly used: number, readonly counted: number }

/** Fewer bytes than this are what the measuring itself leaves behind. */
const COLLECTED = 65_536

const [amqpUrl, queue] = process.argv.slice(2) as [string, string]
const app = Fastify({ logger: { level: 'info', stream: process.stderr } })
const metrics = new Registry()
await app.register(notificationPlugin, {
  amqpUrl,
  queue,
  metrics,
  settle: 'acknowledged',
  ackTimeout: 600_000,
  // No user and no message is to give way.
  prefetch: 65_535,
  maxUnacked: 10_000,
  limits: { unsettledBytes: 2 ** 40, messageBytes: 2 ** 23, bufferedBytes: 2 ** 30, totalBufferedBytes: 2 ** 40 }
})
process.on('message', async () => {
  const counted = (await valueIn(metrics, 'unsettled_bytes'))!
  const used = await settledMemory()
  process.send!({ unsettled: app.notifier.health().unsettled, used, counted } satisfies MemoryOfUnsettled)
})

/** The bytes that are in use once nothing more is collected. What is kept weakly is let go after a turn, what is external is counted off after one. */
async function settledMemory (): Promise<number> {
  for (let least = Infinity, rounds = 0; ; rounds++) {
    await new Promise(resolve => setTimeout(resolve, 20))
    gc!()
    const { heapUsed, external } = process.memoryUsage() // `external` includes `arrayBuffers`
    const used = heapUsed + external
    if (rounds >= 3 && used >= least - COLLECTED) return used
    least = Math.min(least, used)
  }
}

await app.listen({ port: 0, host: '127.0.0.1' })
console.log((app.server.address() as AddressInfo).port)
