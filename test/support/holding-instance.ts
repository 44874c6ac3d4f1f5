// An application that holds in Redis and waits for its clients' acks, until SIGTERM:
// node --import tsx holding-instance.ts <amqpUrl> <queue> <redisUrl> <port> [more options, as JSON]
import Fastify from 'fastify'
import notificationPlugin, { type NotificationPluginOptions } from '../../src/index.js'

const [amqpUrl, queue, redis, port, more = '{}'] = process.argv.slice(2) as [string, string, string, string, string?]
const app = Fastify({ logger: { level: process.env.LOG ?? 'info', stream: process.stderr } })
const options: NotificationPluginOptions = {
  amqpUrl: `${amqpUrl}?heartbeat=2`,
  queue,
  offline: 'hold',
  hold: { redis },
  settle: 'acknowledged',
  // Short, so that who is silent is noticed soon, and full windows are common.
  ackTimeout: 1_500,
  maxUnacked: 10,
  heartbeat: { interval: 1_000, timeout: 800 },
  startup: 'background', // the broker may be down when this is started again
  connectTimeout: 1_000,
  drainTimeout: 4_000,
  reconnect: { initialDelay: 20, maxDelay: 200 },
  ...JSON.parse(more)
}
if (options.offline !== 'hold') delete options.hold
await app.register(notificationPlugin, options)
app.get('/figures', () => ({ health: app.notifier.health(), stats: app.notifier.stats() }))
await app.listen({ port: Number(port), host: '127.0.0.1' })
process.on('SIGTERM', () => app.close())
console.log('listening')
