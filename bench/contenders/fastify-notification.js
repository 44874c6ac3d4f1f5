// This plugin, with its defaults: at least once.
import Fastify from 'fastify'
import notificationPlugin from 'fastify-notification'

const { AMQP_URL, QUEUE, HEARTBEAT } = process.env

const app = Fastify()
await app.register(notificationPlugin, {
  amqpUrl: AMQP_URL,
  queue: QUEUE,
  heartbeat: { interval: Number(HEARTBEAT), timeout: Number(HEARTBEAT) / 2 }
})

app.post('/broadcast', async ({ body }) => await app.notifier.broadcast(body))
app.post('/notify-many', async ({ body }) => await app.notifier.notifyMany([...app.notifier.users], body))

console.log(await app.listen({ port: 0, host: '127.0.0.1' }))
