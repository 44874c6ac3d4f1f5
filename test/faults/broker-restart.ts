import { connect } from 'amqplib'
import { test, type Test } from 'tap'
import type { PrivateRabbitMQ } from '../../support/private-rabbitmq.js'
import { startApp } from '../support/app.js'
import { eventually } from '../support/eventually.js'
import { checkLoad, runLoad } from '../support/load.js'
import { startBroker } from '../support/private-broker.js'

const prefetch = 100
const reconnect = { initialDelay: 20, maxDelay: 200 }

/** Declared before the plugin sees it: RabbitMQ loses a quorum queue that is a second old when it is killed. */
async function declare (node: PrivateRabbitMQ, queue: string, type: 'classic' | 'quorum'): Promise<void> {
  const connection = await connect(node.url)
  const channel = await connection.createChannel()
  for (const name of [queue, `${queue}.dead`]) await channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': type } })
  await connection.close()
}

/** Resolves with how many messages the broker delivered again. */
async function survive (t: Test, type: 'classic' | 'quorum', node: PrivateRabbitMQ, fault: () => Promise<void>, times = 2): Promise<number> {
  await declare(node, 'hello', type)
  const deliveries = { all: 0, of: new Set<number>() }
  const { app, log, notifications } = await startApp(t, {
    amqpUrl: node.url,
    queue: 'hello',
    prefetch,
    reconnect,
    decode (message) {
      const notification = message.json() as { userId: string, content: number }
      deliveries.all++
      deliveries.of.add(notification.content)
      return notification
    }
  })
  // Struck again before it is back, it would not have come back in between.
  const strike = async () => {
    await fault()
    await eventually(() => app.notifier.health().ready, 'ready again')
  }
  const result = await runLoad(t, { url: node.url, queue: 'hello', notifications, users: 10, count: 4_000, faults: Array(times).fill(strike) })

  const repeated = deliveries.all - deliveries.of.size
  // A broker that is killed forgets the acks that it has not written, so that it is not bounded how many come again.
  checkLoad(t, result, times * prefetch, repeated)
  await eventually(() => app.notifier.health().ready && app.notifier.health().unsettled === 0, 'everything settled')
  const changes = log.lines.filter(({ msg }) => msg === 'broker consumer connecting')
  t.equal(changes.length, times + 1, 'a line for each time it was lost, not for each try')
  return repeated
}

for (const type of ['classic', 'quorum'] as const) {
  test(`fault 1: the broker is killed and started again, ${type} queue`, async t => {
    const node = await startBroker(t)
    await survive(t, type, node, async () => {
      await node.kill()
      await node.start()
    })
  })
}

test('fault 2: the broker is stopped and started; health() says so meanwhile', async t => {
  const node = await startBroker(t)
  await declare(node, 'hello', 'classic')
  const { app, notifications } = await startApp(t, { amqpUrl: node.url, queue: 'hello', prefetch, reconnect })
  const { health } = app.notifier
  const result = await runLoad(t, {
    url: node.url,
    queue: 'hello',
    notifications,
    users: 10,
    count: 4_000,
    faults: [async () => {
      const before = health().since
      await node.ctl('stop_app')
      await eventually(() => !health().ready, 'not ready')
      t.match(health(), { state: 'connecting', ready: false, lastError: { message: /./ } })
      t.ok(health().since > before)
      await node.ctl('start_app')
      await eventually(() => health().ready, 'ready')
    }]
  })
  checkLoad(t, result, prefetch)
})

test('fault 4: an operator closes every connection', async t => {
  const node = await startBroker(t)
  const repeated = await survive(t, 'quorum', node, async () => { await node.ctl('close_all_connections', 'maintenance') }, 3)
  t.ok(repeated <= 3 * prefetch, `${repeated} were delivered again`)
})
