// This plugin, keeping what is for users who are offline: in Redis where there is a URL, else in memory.
import { setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import notificationPlugin from 'fastify-notification'

const { AMQP_URL, QUEUE, REDIS_URL } = process.env

const app = Fastify()
await app.register(notificationPlugin, { amqpUrl: AMQP_URL, queue: QUEUE, offline: 'hold', hold: { redis: REDIS_URL === '' ? undefined : REDIS_URL } })

app.get('/held/:count', async ({ params: { count } }) => {
  while (app.notifier.stats().held < Number(count)) await delay(5)
  return {}
})

console.log(await app.listen({ port: 0, host: '127.0.0.1' }))
