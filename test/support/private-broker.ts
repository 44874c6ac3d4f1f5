import type { Test } from 'tap'
import { startPrivateRabbitMQ, type PrivateRabbitMQ, type PrivateRabbitMQOptions } from '../../support/private-rabbitmq.js'

/** A broker that the test may kill, stop and freeze, removed after it. */
export async function startBroker (t: Test, options?: PrivateRabbitMQOptions): Promise<PrivateRabbitMQ> {
  const node = await startPrivateRabbitMQ(options)
  t.teardown(() => node.remove())
  return node
}
