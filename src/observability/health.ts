import { reason } from '../rabbitmq/amqplib.js'
import type { Cluster } from '../cluster/index.js'
import type { Broker } from '../rabbitmq/broker.js'
import type { ManagedHoldStore } from '../hold/index.js'
import type { WaitCounts, Waits } from './waits.js'

export const healthStates = ['no-broker', 'connecting', 'consuming', 'standby', 'blocked', 'dead-letters-failing', 'hold-failing', 'draining', 'stopped'] as const

/**
 * - `no-broker`: there is no `amqpUrl`; only `notify()` works
 * - `connecting`: not consuming, and trying to connect
 * - `consuming`: messages are being consumed
 * - `standby`: the queue has a single active consumer, and this instance is not it; with several queues, this is so for
 *   each queue
 * - `blocked`: the broker accepts no publishes from this instance, because of a memory or disk alarm, or because it
 *   refuses a permission, which `lastError` tells. So nothing can be dead-lettered. Messages are consumed until those
 *   that wait for it fill the window
 * - `dead-letters-failing`: messages wait for the dead-letter queue, and the broker does not take the dead letters.
 *   Others are consumed until those that wait fill the window
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
  /** When the state began. It stays the same as long as the state does. */
  readonly since: Date
  /** What has caused the state; undefined if nothing is wrong, or before the first error is known. */
  readonly lastError: { readonly message: string, readonly code: string | number | undefined, readonly at: Date } | undefined
  /** Messages that the broker has delivered and whose outcome is not known yet. */
  readonly unsettled: number
  /** What they wait for: how many of them for what. */
  readonly waitingFor: WaitCounts
  /** Without `cluster: true`: other consumers of the queues. They take messages for users who may be connected here. */
  readonly otherConsumers: number
  /**
   * How often the unsettled message with the most returns has been returned to its queue. While the channel is lost,
   * this is the number of the last channel. When a message whose count is at the delivery limit is returned, the broker
   * drops it.
   */
  readonly highestDeliveryCount: number
  /** Whether any client can read everything in production: there is no option `authenticate`, not even `false`. */
  readonly unprotected: boolean
}

type BrokerParts = Pick<Broker, 'consumers' | 'publisher' | 'deadLetters'>

interface HealthParts {
  /** Maximum unsettled messages. */
  prefetch: number
  waits: Pick<Waits, 'count'>
  unprotected: boolean
  broker: BrokerParts | undefined
  cluster: Pick<Cluster, 'connection'> | undefined
  store: ManagedHoldStore | undefined
  /** Whether the application has begun to close, and whether it has closed. */
  closing: { readonly begun: boolean, readonly done: boolean }
}

/**
 * Reports the health of the broker side and of the hold. Whoever has a part of the state calls `update()` when that part
 * has changed: so it is known when the state began, however seldom anybody asks.
 */
export class HealthCheck {
  readonly #parts: HealthParts
  #state: HealthState
  #since = new Date()

  constructor (parts: HealthParts) {
    this.#parts = parts
    this.#state = this.#current()
  }

  /** A part of the state has changed. */
  update (): void {
    const state = this.#current()
    if (state === this.#state) return
    this.#state = state
    this.#since = new Date()
  }

  /** The state, and whether the application is ready for more. */
  summary (): Pick<Health, 'state' | 'ready' | 'unsettled' | 'unprotected'> {
    this.update()
    const { prefetch, unprotected, broker } = this.#parts
    const consumers = broker?.consumers ?? []
    const unsettled = consumers.reduce((sum, { unsettled }) => sum + unsettled, 0)
    return { state: this.#state, ready: GOING.has(this.#state) && consumers.every(({ unsettled }) => unsettled < prefetch), unsettled, unprotected }
  }

  /** The health at this moment. */
  report (): Health {
    const { waits, broker } = this.#parts
    const consumers = broker?.consumers ?? []
    return {
      ...this.summary(),
      since: new Date(this.#since),
      lastError: describe(this.#cause()),
      waitingFor: waits.count(),
      otherConsumers: consumers.reduce((sum, { others }) => sum + (others?.count ?? 0), 0),
      highestDeliveryCount: Math.max(0, ...consumers.map(({ limitWatch }) => limitWatch.highest))
    }
  }

  #current (): HealthState {
    const { broker, store, closing } = this.#parts
    if (closing.done) return 'stopped'
    if (closing.begun) return 'draining'
    if (store?.failing === true && (broker === undefined || broker.consumers.every(({ consuming }) => consuming))) return 'hold-failing'
    return broker === undefined ? 'no-broker' : this.#stateOf(broker)
  }

  /** The state of the connections to the broker. */
  #stateOf ({ publisher, consumers, deadLetters }: BrokerParts): HealthState {
    const relay = this.#parts.cluster?.connection.state
    if ([relay, ...consumers.map(({ connection }) => connection.state)].includes('closed')) return 'stopped'
    if (!consumers.every(({ consuming }) => consuming) || relay === 'connecting') return 'connecting'
    if (publisher.connection.state === 'blocked' || publisher.connection.isRefused) return 'blocked'
    if (deadLetters.isFailing) return 'dead-letters-failing'
    return consumers.every(({ standby }) => standby.isOn) ? 'standby' : 'consuming'
  }

  /** What has caused the state; undefined if nothing is wrong, or if the cause has not been told. */
  #cause (): LastError | undefined {
    const { broker, cluster, store } = this.#parts
    if (this.#state === 'hold-failing') return store?.lastError
    if (this.#state === 'blocked') return broker?.publisher.connection.lastError
    if (this.#state === 'dead-letters-failing') return broker?.deadLetters.lastError
    if (this.#state !== 'connecting') return undefined
    return [...broker!.consumers.map(({ connection }) => connection.lastError), cluster?.connection.lastError].reduce(latest, undefined)
  }
}

/** The states in which messages get through as long as there is room for more. */
const GOING: ReadonlySet<HealthState> = new Set(['no-broker', 'consuming', 'standby', 'blocked', 'dead-letters-failing', 'hold-failing'])

interface LastError { readonly error: unknown, readonly at: Date }

function latest (a: LastError | undefined, b: LastError | undefined): LastError | undefined {
  return b === undefined || (a !== undefined && a.at >= b.at) ? a : b
}

function describe (last: LastError | undefined): Health['lastError'] {
  return last && { message: reason(last.error), code: (last.error as { code?: string | number }).code, at: last.at }
}
