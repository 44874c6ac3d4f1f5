import { reason } from './amqp.js'
import type { BrokerError } from './broker-connection.js'
import type { Consumer } from './consumer.js'
import type { Publisher } from './publisher.js'

/**
 * - `no-broker`: there is no `amqpUrl`; `notify()` works alone
 * - `connecting`: not consuming, and trying to
 * - `consuming`: messages are being consumed
 * - `blocked`: the broker takes no publishes of ours (a memory or disk alarm), so that nothing can be dead-lettered;
 *   messages are consumed until those that wait for it fill the window
 * - `draining`: the application is closing; what is in flight is being settled
 * - `stopped`: not started yet, or closed
 */
export type HealthState = 'no-broker' | 'connecting' | 'consuming' | 'blocked' | 'draining' | 'stopped'

export interface Health {
  readonly state: HealthState
  /** Whether messages get through, that is, are consumed and there is room for more: what a readiness probe needs. */
  readonly ready: boolean
  /** When the state began. */
  readonly since: Date
  /** The last thing that went wrong with the broker; it stays after it was mended. */
  readonly lastError: { readonly message: string, readonly code: string | number | undefined, readonly at: Date } | undefined
  /** Messages that the broker has delivered and whose outcome isn't known yet. */
  readonly unsettled: number
}

/**
 * Tells how the broker side is.
 * @param prefetch how many messages may be unsettled
 * @param broker its two connections, if there is one
 * @param closing since when the application closes, and since when it is closed
 */
export function createHealth (
  prefetch: number,
  broker: { consumer: Consumer, publisher: Publisher } | undefined,
  closing: { since?: Date, done?: Date }
): () => Health {
  const created = new Date()

  function current (): Pick<Health, 'state' | 'since'> {
    if (closing.done !== undefined) return { state: 'stopped', since: closing.done }
    if (closing.since !== undefined) return { state: 'draining', since: closing.since }
    if (broker === undefined) return { state: 'no-broker', since: created }
    const { consumer, publisher } = broker
    const { state, since } = consumer.connection
    if (state === 'closed') return { state: 'stopped', since }
    if (!consumer.consuming) return { state: 'connecting', since }
    if (publisher.connection.state === 'blocked') return { state: 'blocked', since: publisher.connection.since }
    const { unblocked } = publisher.connection
    return { state: 'consuming', since: unblocked !== undefined && unblocked > since ? unblocked : since }
  }

  return () => {
    const { state, since } = current()
    const unsettled = broker?.consumer.unsettled ?? 0
    const ready = (state === 'no-broker' || state === 'consuming' || state === 'blocked') && unsettled < prefetch
    const lastError = broker && describe(latest(broker.consumer.connection.lastError, broker.publisher.connection.lastError))
    return { state, ready, since, lastError, unsettled }
  }
}

function latest (a: BrokerError | undefined, b: BrokerError | undefined): BrokerError | undefined {
  return b === undefined || (a !== undefined && a.at >= b.at) ? a : b
}

function describe (last: BrokerError | undefined): Health['lastError'] {
  return last && { message: reason(last.error), code: (last.error as { code?: string | number }).code, at: last.at }
}
