import type { Delivery } from '../delivery/delivery.js'
import type { Registry } from '../delivery/registry.js'
import { encodeItem } from './protocol.js'

/** Maximum items and bytes per message. A single item may exceed the byte limit. */
const MAX_ITEMS = 100
const MAX_BYTES = 262_144

/** A delivery on its way to peers. */
export interface Relay {
  readonly id: number
  readonly delivery: Delivery
  /** The trace context of the delivery, by the propagator's names. */
  readonly trace: Record<string, string> | undefined
  /** Inboxes of the peers that have taken the relay and have not told its outcome. */
  readonly takers: Set<string>
  /** How many connections have been counted for each inbox. */
  readonly counted: Map<string, number>
  /** The message that the relay is in, until the relay has its answer. */
  batch: Batch | undefined
  state: 'queued' | 'published' | 'confirmed'
  /** When the relay was published, by `performance.now()`; only set with the option `metrics`. */
  publishedAt: number
  /** When to publish the relay again, by `performance.now()`. */
  deadline: number
  /** When an unconfirmed relay fails, by `performance.now()`; Infinity for a message of a queue. */
  readonly patience: number
  attempts: number
  /** Whether a peer has answered `nobody` before the broker has confirmed the publish. */
  isRefused: boolean
}

/** The relays that were published in one message. */
interface Batch {
  readonly line: Line
  readonly waiting: Set<Relay>
  /** Whether the user had connections here: then the next message does not wait for the answers. */
  readonly isHere: boolean
  isConfirmed: boolean
}

/**
 * The relays of one user. Only one message of them is in progress at a time. Relays that are added meanwhile go
 * together in the next message. Otherwise the broker could return a relay, the user connect, and a newer relay
 * overtake it.
 */
interface Line {
  readonly userId: string
  queue: Relay[]
  batch: Batch | undefined
}

export interface RelayQueueParts {
  registry: Registry
  /** How long an answer may take, in milliseconds. */
  receiptTimeout: number
  /** Whether to record when each relay is published. */
  isTimed: boolean
  /**
   * Publishes to all instances that have the user. `done` gets whether there is one; undefined if unknown.
   * @param isHere whether the user has connections here: then this instance ignores its own copy
   */
  publish (userId: string, body: string, isHere: boolean, done: (isRouted: boolean | undefined) => void): void
  /** Whether a relay still waits for its outcome. */
  isOpen (relay: Relay): boolean
  /** The broker will redeliver the message: stops the relay. */
  abandon (relay: Relay): void
  /**
   * The broker has confirmed a relay.
   * @param isRouted whether any instance is bound
   * @param isHere whether the user had connections here when the relay was published
   */
  confirmed (relay: Relay, isRouted: boolean, isHere: boolean): void
}

/** Publishes relays, in order for each user, one message at a time. */
export function createRelayQueue ({ registry, receiptTimeout, isTimed, publish, isOpen, abandon, confirmed }: RelayQueueParts) {
  const lines = new Map<string, Line>()
  let dirty = new Set<Line>()
  let scheduled: NodeJS.Immediate | undefined

  function schedule (): void {
    if (dirty.size > 0) scheduled ??= setImmediate(flush)
  }

  function flush (): void {
    scheduled = undefined
    const due = dirty
    dirty = new Set()
    for (const line of due) publishNext(line)
  }

  /** Inserts in the order of ids, so that a relay that is published again has its old place. */
  function insert ({ queue }: Line, relay: Relay): void {
    relay.state = 'queued'
    let low = queue.length === 0 || queue.at(-1)!.id < relay.id ? queue.length : 0
    for (let high = queue.length; low < high;) {
      const middle = (low + high) >>> 1
      if (queue[middle]!.id < relay.id) low = middle + 1
      else high = middle
    }
    queue.splice(low, 0, relay)
  }

  function publishNext (line: Line): void {
    if (line.batch !== undefined) return
    const { taken, items } = take(line)
    if (taken.length === 0) {
      if (lines.get(line.userId) === line) lines.delete(line.userId)
      return
    }
    const isHere = registry.of(line.userId).length > 0
    // Already settled: peers only need to know.
    const batch: Batch = { line, waiting: new Set(taken.filter(isOpen)), isHere, isConfirmed: false }
    line.batch = batch
    for (const relay of taken) {
      relay.batch = batch
      relay.state = 'published'
      relay.deadline = performance.now() + receiptTimeout
      relay.attempts++
      relay.isRefused = false
      if (isTimed) relay.publishedAt = performance.now()
    }
    let isSent = false
    publish(line.userId, `[${items.join()}]`, isHere, isRouted => {
      if (line.batch !== batch) return // the batch was put back
      if (isRouted === undefined) putBack(batch, isSent)
      else confirm(batch, taken, isRouted)
    })
    isSent = true // if the publish was not sent, the callback runs synchronously, before this
  }

  /** Takes as many relays as fit in one message. */
  function take ({ queue }: Line): { taken: Relay[], items: string[] } {
    const taken: Relay[] = []
    const items: string[] = []
    const gone: Relay[] = []
    for (let bytes = 0; taken.length < MAX_ITEMS && taken.length + gone.length < queue.length;) {
      const relay = queue[taken.length + gone.length]!
      if (relay.delivery.isGone) {
        gone.push(relay)
        continue
      }
      const item = encodeItem(relay.id, relay.delivery, relay.trace)
      bytes += item.length
      if (taken.length > 0 && bytes > MAX_BYTES) break
      taken.push(relay)
      items.push(item)
    }
    queue.splice(0, taken.length + gone.length) // one splice, as many shifts of a long array are slow
    gone.forEach(abandon)
    return { taken, items }
  }

  /**
   * The fate of a message is unknown: queues its relays to be published again.
   * @param isSent whether a peer may have received the message, and a client have seen the notifications
   */
  function putBack ({ line, waiting }: Batch, isSent: boolean): void {
    line.batch = undefined
    for (const relay of waiting) {
      relay.batch = undefined
      if (isSent) relay.delivery.redelivered = true
      if (isOpen(relay) && !relay.delivery.isGone) insert(line, relay)
    }
    dirty.add(line)
  }

  function confirm (batch: Batch, taken: Relay[], isRouted: boolean): void {
    const { line, isHere } = batch
    // No peer has the user. Relays that were added meanwhile are returned too, or a user who connects now could get
    // them before the older ones.
    const all = isRouted ? taken : [...taken, ...line.queue.splice(0)]
    batch.isConfirmed = true
    for (const relay of all) {
      relay.state = 'confirmed'
      if (!isRouted) answered(relay)
      if (isOpen(relay)) confirmed(relay, isRouted, isHere)
    }
    goOn(batch)
  }

  /** A relay has an answer: the next message does not wait for it any more. */
  function answered (relay: Relay): void {
    const { batch } = relay
    relay.batch = undefined
    if (batch !== undefined && batch.waiting.delete(relay)) goOn(batch)
  }

  function goOn (batch: Batch): void {
    const { line, isConfirmed, isHere, waiting } = batch
    if (!isConfirmed || line.batch !== batch || (!isHere && waiting.size > 0)) return
    for (const relay of waiting) relay.batch = undefined
    line.batch = undefined
    publishNext(line)
  }

  return {
    /** Publishes a relay when its turn comes. */
    add (relay: Relay): void {
      const { userId } = relay.delivery
      let line = lines.get(userId)
      if (line === undefined) lines.set(userId, line = { userId, queue: [], batch: undefined })
      insert(line, relay)
      dirty.add(line)
      schedule()
    },

    answered,

    /** A user's relays that have no answer yet, the oldest first. */
    of (userId: string): Relay[] {
      const line = lines.get(userId)
      return line === undefined ? [] : [...line.batch?.waiting ?? [], ...line.queue].sort((a, b) => a.id - b.id)
    },

    /** The message that contains a relay got no answer in time. */
    overdue ({ batch }: Relay): void {
      if (batch !== undefined && batch.line.batch === batch) putBack(batch, true)
    },

    /** Publishes everything that can be published. */
    resume (): void {
      for (const line of lines.values()) dirty.add(line)
      schedule()
    },

    close (): void {
      clearImmediate(scheduled)
    }
  }
}
