import { fileURLToPath } from 'node:url'
import staticFiles from '@fastify/static'
import { Type, type Static } from '@sinclair/typebox'
import Fastify from 'fastify'
import notificationPlugin from 'fastify-notification'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { printBanner } from './banner.js'
import { findBroker } from './broker.js'
import { buildClient } from './client.js'
import { isInstance, joinInstances, urlOf } from './instances.js'
import { publish } from './publish.js'
import { serveReactPage } from './react.js'
import { addSessions } from './sessions.js'

const { PORT = '8080', QUEUE: queue = 'hello', REDIS_URL: redis, SESSION_SECONDS = '3600' } = process.env

const broker = await findBroker()
const { amqpUrl } = broker

const app = Fastify({
  logger: true,
  routerOptions: { maxParamLength: 255 } // a user id may be that long
})
app.addHook('onClose', broker.remove) // added first, it runs last

// What Prometheus asks for: that of the process, of the plugin, and whatever the application counts itself.
const metrics = new Registry()
collectDefaultMetrics({ register: metrics })

const instances = isInstance ? joinInstances(app) : undefined

// Who has signed in on the page with React.
const sessions = await addSessions(app, Number(SESSION_SECONDS))

// GET /notification?userId=… is now a WebSocket, and what comes from the queue goes to its user's.
app.register(notificationPlugin, {
  ...(amqpUrl !== undefined && { amqpUrl, queue }),
  settle: 'acknowledged', // done when a client says that it has it
  offline: isInstance && !redis ? 'drop' : 'hold', // what comes for somebody who is away waits
  hold: redis ? { redis } : {}, // there, or in memory, where other instances would not find it
  dismiss: true, // what one tab of a user has taken over, the others are told of
  metrics,
  // The first page is believed: on it anybody can be anybody. The page with React says `session`, and has one.
  // An application looks up the groups of a user: whoever is in a group gets what is sent to it.
  authenticate (request) {
    const { session, userId = '', group } = request.query as { session?: string, userId?: string, group?: string }
    if (session !== undefined) return sessions.find(request) ?? ''
    if (userId === 'mallory') throw Object.assign(new Error('mallory may not connect'), { statusCode: 403 })
    return { userId, groups: group === undefined ? [] : [group] }
  },
  // Several instances share the queue, and a page of one of them may connect to another.
  ...(instances && { cluster: true, allowedOrigins: origin => instances.urls.includes(origin) })
})

// Without the queue: any route can notify.
app.post<{ Params: { userId: string } }>('/notify/:userId', async ({ params, body }) => {
  return await app.notifier.notify(params.userId, body)
})

// Through the queue: what another program would do.
const Recipient = Type.Partial(Type.Object({ userId: Type.String(), group: Type.String(), everybody: Type.Boolean() }))
const Message = Type.Composite([Recipient, Type.Object({ content: Type.Unknown(), id: Type.Optional(Type.String()) })])
app.post<{ Body: Static<typeof Message> }>('/publish', { schema: { body: Message } }, async ({ body }, reply) => {
  await publish(amqpUrl, queue, body)
  return reply.code(202).send({ queue })
})

// For a load balancer or an orchestrator: send requests here? Is it alive at all?
app.get('/ready', { logLevel: 'warn' }, async (_request, reply) => {
  const health = app.notifier.health()
  return reply.code(health.ready ? 200 : 503).send(health)
})
app.get('/live', { logLevel: 'warn' }, async () => app.notifier.health())

app.get('/metrics', { logLevel: 'warn' }, async (_request, reply) => reply.type(metrics.contentType).send(await metrics.metrics()))

// The page, the client that it imports, and where else it can connect to.
app.get('/instances', async () => {
  await instances?.allKnow
  return instances?.urls ?? []
})
const client = buildClient()
app.get('/notification-client.js', async (_request, reply) => reply.type('text/javascript').send(client))
serveReactPage(app)
app.register(staticFiles, { root: fileURLToPath(new URL('public', import.meta.url)) })

async function stop (signal: NodeJS.Signals) {
  app.log.info(`${signal}: closing`)
  await app.close() // called twice, it closes once
}

try {
  await app.listen({ port: Number(PORT), host: 'localhost' })
  process.on('SIGINT', stop).on('SIGTERM', stop)
  if (!isInstance) {
    printBanner({
      urls: [urlOf(app)],
      broker: `${broker.description}${amqpUrl === undefined ? '' : `; queue '${queue}'`}`,
      held: redis ? 'in Redis, at REDIS_URL' : 'in memory; REDIS_URL would keep it in Redis'
    })
  }
} catch (error) {
  console.error(`The example could not start: ${(error as Error).message}`)
  process.exitCode = 1
  await app.close()
}
