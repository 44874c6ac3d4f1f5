import Fastify from 'fastify'
import notificationPlugin from 'fastify-notification'

const app = Fastify({ logger: true })

await app.register(notificationPlugin, {
  amqpUrl: process.env.AMQP_URL ?? 'amqp://localhost',
  queue: 'hello'
})

// Any route can notify, without the queue.
app.post<{ Params: { userId: string } }>('/notify/:userId', async ({ params, body }) => {
  return await app.notifier.notify(params.userId, body)
})

await app.listen({ port: Number(process.env.PORT ?? 8080) })
