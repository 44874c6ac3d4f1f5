// This plugin, as one of several instances on one queue.
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import notificationPlugin from 'fastify-notification'
import { WebSocket } from 'ws'

const { AMQP_URL, QUEUE } = process.env

const app = Fastify()
await app.register(notificationPlugin, { amqpUrl: AMQP_URL, queue: QUEUE, cluster: true })

// Waits until the connections to the broker are lost, then until a new user is welcomed: that is, until the other
// instances know all users of this one again. Tells how long that took.
app.get('/again', async () => {
  while (['consuming', 'standby'].includes(app.notifier.health().state)) await delay(1)
  const lost = performance.now()
  const socket = new WebSocket(`ws://127.0.0.1:${app.server.address().port}/notification?userId=new`, 'notification.v1')
  await once(socket, 'message')
  const seconds = (performance.now() - lost) / 1_000
  socket.terminate()
  return { seconds }
})

app.get('/peer-users/:count', async ({ params: { count } }) => {
  while (!await app.notifier.isOnline(`user-${count - 1}`).catch(() => false)) await delay(10)
  return {}
})

console.log(await app.listen({ port: 0, host: '127.0.0.1' }))
