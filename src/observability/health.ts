import { reason } from '../rabbitmq/amqplib.js'
import type { Cluster } from '../cluster/index.js'
import type { Consumer } from '../rabbitmq/consumer.js'
import type { HoldStore } from '../hold/index.js'
import type { Publisher } from '../rabbitmq/publisher.js'

export const healthStates = ['no-broker', 'connecting', 'consuming', 'standby', 'blocked', 'hold-failing', 'draining', 'stopped'] as const

/**
 * - `no-broker`: there is no `amqpUrl`; `notify()` works alone
 * - `connecting`: not consuming, and trying to
 * - `consuming`: messages are being consumed
 * - `standby`: the queue has a single active consumer, which is another one; with several queues, each has
 * - `blocked`: the broker takes no publishes of ours (a memory or disk alarm, or a permission that it refuses, which
 *   `lastError` tells), so that nothing can be dead-lettered; messages are consumed until those that wait for it fill the window
 * - `hold-failing`: the hold can't be reached, so that messages for users who are offline wait with the broker; the others
 *   are delivered until those that wait fill the window
 * - `draining`: the application is closing; what is in flight is being settled
 * - `stopped`: not started yet, or closed
 */
export type HealthState = (typeof healthStates)[number]

export interface Health {
  readonly state: HealthState
  /** Whether messages get through, that is, are consumed and there is room for more: what a readiness probe needs. */
  readonly ready: boolean
  /** When the state began. */
  readonly since: Date
  /** The last thing that went wrong with the broker or the hold; it stays after it was mended. */
  readonly lastError: { readonly message: string, readonly code: string | number | undefined, readonly at: Date } | undefined
  /** Messages that the broker has delivered and whose outcome isn't known yet. */
  readonly unsettled: number
  /**
   * The highest number of returns to their queue among the unsettled messages. While the channel is lost, that of the last
   * channel. The broker drops a message that is returned when its count is at the delivery limit.
   */
  readonly highestDeliveryCount: number
}

interface HealthParts {
  /** How many messages may be unsettled. */
  prefetch: number
  /** Its connections, if there is one. */
  broker: { consumers: readonly Consumer[], publisher: Publisher } | undefined
  cluster: Pick<Cluster, 'connection'> | undefined
  store: HoldStore | undefined
  /** Since when the application closes, and since when it is closed. */
  closing: { since?: Date, done?: Date }
}

/** Tells how the broker side and the hold are. */
export function createHealth ({ prefetch, broker, cluster, store, closing }: HealthParts): () => Health {
  const created = new Date()

  function current (): Pick<Health, 'state' | 'since'> {
    if (closing.done !== undefined) return { state: 'stopped', since: closing.done }
    if (closing.since !== undefined) return { state: 'draining', since: closing.since }
    if (store?.failing === true && (broker === undefined || broker.consumers.every(({ consuming }) => consuming))) {
      // Its connection has just ended where nothing has failed yet.
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

/** Messages get through, as long as there is room for more. */
const GOING: ReadonlySet<HealthState> = new Set(['no-broker', 'consuming', 'standby', 'blocked', 'hold-failing'])

interface LastError { readonly error: unknown, readonly at: Date }

function latest (a: LastError | undefined, b: LastError | undefined): LastError | undefined {
  return b === undefined || (a !== undefined && a.at >= b.at) ? a : b
}

function describe (last: LastError | undefined): Health['lastError'] {
  return last && { message: reason(last.error), code: (last.error as { code?: string | number }).code, at: last.at }
}
