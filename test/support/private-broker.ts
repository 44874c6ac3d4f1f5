import type { Test } from 'tap'
import { startPrivateRabbitMQ, type PrivateRabbitMQ } from '../../support/private-rabbitmq.js'

/** A broker that the test may kill, stop and freeze, removed after it. */
export async function startBroker (t: Test): Promise<PrivateRabbitMQ> {
  const node = await startPrivateRabbitMQ()
  t.teardown(() => node.remove())
  return node
}
