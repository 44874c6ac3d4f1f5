// An application that tells how much memory it takes, and how much of it is counted for its unsettled messages:
// node --expose-gc --import tsx memory-of-unsettled.ts <amqpUrl> <queue>
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { Registry } from 'prom-client'
import notificationPlugin from '../../src/index.js'
import { valueIn } from './measured.js'

/** In bytes; `unsettled` in messages. */
export interface MemoryOfUnsettled { readonly unsettled: number, readonly used: number, readonly counted: number }

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
  // What is kept weakly is let go after a turn, and what is external is counted off after one.
  for (let round = 0; round < 3; round++) {
    await new Promise(resolve => setTimeout(resolve, 20))
    gc!()
  }
  const { heapUsed, external } = process.memoryUsage() // `external` includes `arrayBuffers`
  process.send!({ unsettled: app.notifier.health().unsettled, used: heapUsed + external, counted } satisfies MemoryOfUnsettled)
})
await app.listen({ port: 0, host: '127.0.0.1' })
console.log((app.server.address() as AddressInfo).port)
