// This plugin, as one of several instances on one queue.
import { setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import notificationPlugin from 'fastify-notification'

const { AMQP_URL, QUEUE } = process.env

const app = Fastify()
await app.register(notificationPlugin, { amqpUrl: AMQP_URL, queue: QUEUE, cluster: true })

// A question that an instance takes along when it goes has no answer.
const isReached = user => Promise.race([app.notifier.isOnline(`user-${user}`).catch(() => false), delay(500, false)])

// Waits for the loss of another instance's bindings, then until all its users are reached again; tells how long that took.
app.get('/reached/:users', async ({ params: { users } }) => {
  let lost, reached
  do {
    await delay(5)
    lost = performance.now()
  } while (await isReached(users - 1))
  for (let user = users - 1; user >= 0; user--) { // the last comes last, so hardly another is asked twice
    while (!await isReached(user)) {
      await delay(10)
      reached = performance.now()
    }
  }
  return { seconds: (reached - lost) / 1_000 }
})

console.log(await app.listen({ port: 0, host: '127.0.0.1' }))
