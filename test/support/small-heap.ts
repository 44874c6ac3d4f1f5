// An application with the default options, which tells what became of the messages, and how much memory bodies took:
// node --max-old-space-size=256 --import tsx small-heap.ts <amqpUrl> <queue>
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import notificationPlugin from '../../src/index.js'

const [amqpUrl, queue] = process.argv.slice(2) as [string, string]
const app = Fastify({ logger: { level: 'info', stream: process.stderr } })
await app.register(notificationPlugin, { amqpUrl, queue, startup: 'background' })
let peak = 0
setInterval(() => { peak = Math.max(peak, process.memoryUsage().arrayBuffers) }, 1)
process.on('message', () => process.send!({ peak, stats: app.notifier.stats() }))
await app.listen({ port: 0, host: '127.0.0.1' })
console.log((app.server.address() as AddressInfo).port)
