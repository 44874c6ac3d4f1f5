import { reason } from '../rabbitmq/amqplib.js'
import type { Cluster } from '../cluster/index.js'
import type { Consumer } from '../rabbitmq/consumer.js'
import type { ManagedHoldStore } from '../hold/index.js'
import type { Publisher } from '../rabbitmq/publisher.js'

export const healthStates = ['no-broker', 'connecting', 'consuming', 'standby', 'blocked', 'hold-failing', 'draining', 'stopped'] as const

/**
 * - `no-broker`: there is no `amqpUrl`; only `notify()` works
 * - `connecting`: not consuming, and trying to connect
 * - `consuming`: messages are being consumed
 * - `standby`: the queue has a single active consumer, and this instance is not it; with several queues, this is so for
 *   each queue
 * - `blocked`: the broker accepts no publishes from this instance, because of a memory or disk alarm, or because it
 *   refuses a permission, which `lastError` tells. So nothing can be dead-lettered. Messages are consumed until those
 *   that wait for it fill the window
 * - `hold-failing`: the hold can't be reached, so messages for offline users wait with the broker. Other messages are
 *   delivered until those that wait fill the window
 * - `draining`: the application is closing, and messages in flight are being settled
 * - `stopped`: not started yet, or closed
 */
export type HealthState = (typeof healthStates)[number]

export interface Health {
  readonly state: HealthState
  /** Whether messages are consumed and there is room for more: the answer for a readiness probe. */
  readonly ready: boolean
  /** When the state began. */
  readonly since: Date
  /** The last error of the broker or the hold. It stays after the problem is solved. */
  readonly lastError: { readonly message: string, readonly code: string | number | undefined, readonly at: Date } | undefined
  /** Messages that the broker has delivered and whose outcome is not known yet. */
  readonly unsettled: number
  /**
   * How often the unsettled message with the most returns has been returned to its queue. While the channel is lost,
   * this is the number of the last channel. When a message whose count is at the delivery limit is returned, the broker
   * drops it.
   */
  readonly highestDeliveryCount: number
}

interface HealthParts {
  /** Maximum unsettled messages. */
  prefetch: number
  /** The connections to the broker, if there is a broker. */
  broker: { consumers: readonly Consumer[], publisher: Publisher } | undefined
  cluster: Pick<Cluster, 'connection'> | undefined
  store: ManagedHoldStore | undefined
  /** When the application began to close, and when it had closed. */
  closing: { since?: Date, done?: Date }
}

/** Creates the function that reports the health of the broker side and of the hold. */
export function createHealth ({ prefetch, broker, cluster, store, closing }: HealthParts): () => Health {
  const created = new Date()

  function current (): Pick<Health, 'state' | 'since'> {
    if (closing.done !== undefined) return { state: 'stopped', since: closing.done }
    if (closing.since !== undefined) return { state: 'draining', since: closing.since }
    if (store?.failing === true && (broker === undefined || broker.consumers.every(({ consuming }) => consuming))) {
      // Without an error so far, the hold's connection has just ended.
      return { state: 'hold-failing', since: store.lastError?.at ?? new Date() }
    }
    if (broker === undefined) return { state: 'no-broker', since: created }
    const { publisher, consumers } = broker
    const connections = [...consumers.map(({ connection }) => connection), ...(cluster === undefined ? [] : [cluster.connection])]
    const since = new Date(Math.max(...connections.map(({ since }) => since.getTime())))
    if (connections.some(({ state }) => state === 'closed')) return { state: 'stopped', since }
    if (!consumers.every(({ consuming }) => consuming) || cluster?.connection.state === 'connecting') return { state: 'connecting', since }
    if (publisher.connection.state === 'blocked' || publisher.connection.isRefused) return { state: 'blocked', since: publisher.connection.since }
    const { unblocked } = publisher.connection
    const changes = [since, ...(unblocked === undefined ? [] : [unblocked]), ...consumers.map(({ standby }) => standby.since)]
    const state = consumers.every(({ standby }) => standby.isOn) ? 'standby' : 'consuming'
    return { state, since: new Date(Math.max(...changes.map(change => change.getTime()))) }
  }

  return () => {
    const { state, since } = current()
    const consumers = broker?.consumers ?? []
    const unsettled = consumers.reduce((sum, { unsettled }) => sum + unsettled, 0)
    const ready = GOING.has(state) && consumers.every(({ unsettled }) => unsettled < prefetch)
    const lastErrors = [...consumers.map(({ connection }) => connection.lastError), broker?.publisher.connection.lastError, cluster?.connection.lastError, store?.lastError]
    const lastError = describe(lastErrors.reduce<LastError | undefined>(latest, undefined))
    const highestDeliveryCount = Math.max(0, ...consumers.map(({ limitWatch }) => limitWatch.highest))
    return { state, ready, since, lastError, unsettled, highestDeliveryCount }
  }
}

/** The states in which messages get through as long as there is room for more. */
const GOING: ReadonlySet<HealthState> = new Set(['no-broker', 'consuming', 'standby', 'blocked', 'hold-failing'])

interface LastError { readonly error: unknown, readonly at: Date }

function latest (a: LastError | undefined, b: LastError | undefined): LastError | undefined {
  return b === undefined || (a !== undefined && a.at >= b.at) ? a : b
}

function describe (last: LastError | undefined): Health['lastError'] {
  return last && { message: reason(last.error), code: (last.error as { code?: string | number }).code, at: last.at }
}
