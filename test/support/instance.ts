// An application that runs until SIGTERM: node --import tsx instance.ts <amqpUrl> <queue> <prefetch>
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import notificationPlugin from '../../src/index.js'

const [amqpUrl, queue, prefetch] = process.argv.slice(2) as [string, string, string]
const app = Fastify({ logger: { level: process.env.LOG ?? 'info', stream: process.stderr } })
await app.register(notificationPlugin, { amqpUrl, queue, prefetch: Number(prefetch), drainTimeout: 120_000 })
await app.listen({ port: 0, host: '127.0.0.1' })
process.on('SIGTERM', () => app.close())
console.log((app.server.address() as AddressInfo).port)
