import cookie from '@fastify/cookie'
import jwt from '@fastify/jwt'
import Fastify from 'fastify'
import notificationPlugin from 'fastify-notification'
import { collectDefaultMetrics, Registry } from 'prom-client'

const { AMQP_URL, REDIS_URL, JWT_SECRET, QUEUE = 'notifications', PORT = '8080', INTERNAL_PORT = '9090' } = process.env
if (!AMQP_URL || !REDIS_URL || !JWT_SECRET) throw new Error('Set AMQP_URL, REDIS_URL and JWT_SECRET')

const metrics = new Registry()
collectDefaultMetrics({ register: metrics })

const app = Fastify({ logger: true })
// For the orchestrator and Prometheus, on a port that the proxy does not publish.
const internal = Fastify({ loggerInstance: app.log, disableRequestLogging: true })
app.addHook('onClose', () => internal.close()) // added first, it runs last: the probes answer until the end

await app.register(cookie)
await app.register(jwt, { secret: JWT_SECRET, cookie: { cookieName: 'token', signed: false } })
await app.register(notificationPlugin, {
  amqpUrl: AMQP_URL,
  queue: QUEUE,
  startup: 'background', // a broker that is away does not keep the process from starting
  cluster: true, // several instances share the queue
  settle: 'acknowledged', // done when a client says that it has it
  offline: 'hold', // what comes for somebody who is away waits
  hold: { redis: REDIS_URL }, // there, where every instance finds it
  dismiss: true, // the other devices of a user are told what one has taken over
  async authenticate (request) {
    const { sub, exp } = await request.jwtVerify<{ sub: string, exp: number }>()
    return { userId: sub, expiresAt: exp * 1_000 }
  },
  metrics,
  journal: 10_000 // for trace(): why somebody got nothing
})

internal.get('/ready', async (_request, reply) => {
  const health = app.notifier.health()
  return reply.code(health.ready ? 200 : 503).send(health)
})
internal.get('/live', async () => app.notifier.health())
internal.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.metrics()))
internal.get<{ Params: { userId: string } }>('/trace/:userId', async ({ params: { userId } }) => app.notifier.trace({ userId }))

for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => app.close())

await internal.listen({ port: Number(INTERNAL_PORT), host: '0.0.0.0' })
await app.listen({ port: Number(PORT), host: '0.0.0.0' })
