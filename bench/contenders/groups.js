// This plugin, with all users in one group.
import Fastify from 'fastify'
import notificationPlugin from 'fastify-notification'

const { AMQP_URL, QUEUE } = process.env

const app = Fastify()
await app.register(notificationPlugin, {
  amqpUrl: AMQP_URL, queue: QUEUE, authenticate: ({ query: { userId } }) => ({ userId, groups: ['all'] })
})

app.post('/notify-group', async ({ body }) => await app.notifier.notifyGroup('all', body))

console.log(await app.listen({ port: 0, host: '127.0.0.1' }))
