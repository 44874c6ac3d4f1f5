// This plugin, to the last hop: a message is settled when a client has acknowledged it.
import Fastify from 'fastify'
import notificationPlugin from 'fastify-notification'

const { AMQP_URL, QUEUE } = process.env

const app = Fastify()
await app.register(notificationPlugin, { amqpUrl: AMQP_URL, queue: QUEUE, settle: 'acknowledged' })

console.log(await app.listen({ port: 0, host: '127.0.0.1' }))
