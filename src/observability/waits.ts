import type { Dispatcher } from '../delivery/dispatcher.js'
import type { FanOut } from '../delivery/fan-out.js'
import { waitCauses, type WaitCause, type Waiting } from '../delivery/waiting.js'
import type { Broker } from '../rabbitmq/broker.js'

/** How many messages wait for what. */
export type WaitCounts = Readonly<Record<WaitCause, number>>

/** Tells what has no outcome yet, and what it waits for. Reads it where it waits; nothing is counted meanwhile. */
export class Waits {
  readonly #dispatcher: Pick<Dispatcher, 'waiting'>
  readonly #broker: Pick<Broker, 'consumers' | 'waiting'> | undefined

  readonly #fanOut: Pick<FanOut, 'waiting'>

  constructor (dispatcher: Pick<Dispatcher, 'waiting'>, fanOut: Pick<FanOut, 'waiting'>, broker: Pick<Broker, 'consumers' | 'waiting'> | undefined) {
    this.#dispatcher = dispatcher
    this.#fanOut = fanOut
    this.#broker = broker
  }

  /** The unsettled messages of each queue. */
  countByQueue (): ReadonlyMap<string, WaitCounts> {
    const byQueue = new Map(this.#broker?.consumers.map(({ queue }) => [queue, noCounts()]))
    const seen = new Set<Waiting['origin']>()
    for (const { origin, cause } of this.#all()) {
      if (seen.has(origin)) continue // a message to many waits for several users
      seen.add(origin)
      // The broker delivers those of a dead channel again.
      const counts = origin?.gone?.aborted === false ? byQueue.get(origin.queue!) : undefined
      if (counts !== undefined) counts[cause]++
    }
    return byQueue
  }

  /** The unsettled messages of all queues. */
  count (): WaitCounts {
    const sum = noCounts()
    for (const counts of this.countByQueue().values()) for (const cause of waitCauses) sum[cause] += counts[cause]
    return sum
  }

  /** What waits, of a user or of an id if one is given: the one that has waited longest comes first. */
  list ({ userId, id }: { userId?: string | undefined, id?: string | undefined } = {}): Waiting[] {
    return [...this.#all(userId)]
      .filter(waiting => (userId === undefined || waiting.userId === userId) && (id === undefined || waiting.id === id))
      .sort((a, b) => a.since - b.since)
  }

  /** Each message once: one that is moved to the dead-letter queue may be in a mailbox too. */
  * #all (userId?: string): Generator<Waiting, void, undefined> {
    const others = [...this.#broker?.waiting() ?? []]
    const origins = new Set(others.map(({ origin }) => origin))
    yield * others
    for (const waiting of this.#dispatcher.waiting(userId)) if (!origins.has(waiting.origin)) yield waiting
    for (const waiting of this.#fanOut.waiting()) if (!origins.has(waiting.origin)) yield waiting
  }
}

function noCounts (): Record<WaitCause, number> {
  return { ack: 0, room: 0, hold: 0, peers: 0, 'dead-letters': 0, retry: 0, decode: 0 }
}
