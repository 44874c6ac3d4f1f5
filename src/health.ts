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
 */
export function createHealth (prefetch: number, consumer: Consumer | undefined, publisher: Publisher | undefined): () => Health {
  const created = new Date()
  if (consumer === undefined || publisher === undefined) {
    return () => ({ state: 'no-broker', ready: true, since: created, lastError: undefined, unsettled: 0 })
  }
  const { connection } = consumer

  function state (): HealthState {
    if (connection.state === 'closed') return 'stopped'
    if (consumer!.drainingSince !== undefined) return 'draining'
    if (!consumer!.consuming) return 'connecting'
    return publisher!.connection.state === 'blocked' ? 'blocked' : 'consuming'
  }

  return () => {
    const now = state()
    const { unsettled } = consumer
    const ready = (now === 'consuming' || now === 'blocked') && unsettled < prefetch
    const since = now === 'draining' ? consumer.drainingSince! : now === 'blocked' ? publisher.connection.since : connection.since
    return { state: now, ready, since, lastError: describe(latest(connection.lastError, publisher.connection.lastError)), unsettled }
  }
}

function latest (a: BrokerError | undefined, b: BrokerError | undefined): BrokerError | undefined {
  return b === undefined || (a !== undefined && a.at >= b.at) ? a : b
}

function describe (last: BrokerError | undefined): Health['lastError'] {
  return last && { message: reason(last.error), code: (last.error as { code?: string | number }).code, at: last.at }
}
