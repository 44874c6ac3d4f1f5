import type { Delivery } from '../delivery/delivery.js'
import type { Registry } from '../delivery/registry.js'
import { encodeItem } from './protocol.js'

/** So many notifications of a user go in one message at most, and so many bytes, but for a single larger one. */
const MAX_ITEMS = 100
const MAX_BYTES = 262_144

/** A delivery on its way to other instances. */
export interface Relay {
  readonly id: number
  readonly delivery: Delivery
  /** The trace that it belongs to, by the propagator's names. */
  readonly trace: Record<string, string> | undefined
  /** Inboxes of those who have it, and have not told its outcome. */
  readonly takers: Set<string>
  /** How many connections of each inbox have been counted. */
  readonly counted: Map<string, number>
  /** The message that it is in, until all of that is answered. */
  batch: Batch | undefined
  state: 'queued' | 'published' | 'confirmed'
  /** When it was published, by `performance.now()`, with `metrics`. */
  publishedAt: number
  /** When it is published again, by `performance.now()`. */
  deadline: number
  /** Until when the broker must have confirmed it, where somebody waits who can be told that it has not. */
  readonly patience: number
  attempts: number
  /** An instance has told that nobody there takes it, before the broker has confirmed it. */
  isRefused: boolean
}

/** What was published in one message. */
interface Batch {
  readonly line: Line
  readonly waiting: Set<Relay>
  /** Whether connections here have it, too: then nobody need answer. */
  readonly isHere: boolean
  isConfirmed: boolean
}

/**
 * The relays of one user. One message of them is under way at a time, and what comes meanwhile goes together in the next:
 * else one could be returned, the user connect, and a newer one overtake it.
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
  /** Whether it is to be known when each is published. */
  isTimed: boolean
  /**
   * Publishes to all who have the user; told whether there is one, undefined where it isn't known.
   * @param isHere whether what comes back to ourselves has been seen to
   */
  publish (userId: string, body: string, isHere: boolean, done: (isRouted: boolean | undefined) => void): void
  /** Whether the outcome of a relay is waited for. */
  isOpen (relay: Relay): boolean
  /** The broker will deliver it again: nothing more is to become of it. */
  abandon (relay: Relay): void
  /**
   * The broker has confirmed a relay.
   * @param isRouted whether anybody is bound
   * @param isHere whether connections here were to have it
   */
  confirmed (relay: Relay, isRouted: boolean, isHere: boolean): void
}

/** Publishes relays: in order for each user, one message at a time. */
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

  /** In the order of their numbers: what is published again has its old place. */
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
    // Of what is settled already the others are only told.
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
      if (line.batch !== batch) return // it was given up
      if (isRouted === undefined) putBack(batch, isSent)
      else confirm(batch, taken, isRouted)
    })
    isSent = true // what is not sent is told at once
  }

  /** As many as go in one message. */
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
    queue.splice(0, taken.length + gone.length) // at once: to shift a long one each time takes long
    gone.forEach(abandon)
    return { taken, items }
  }

  /**
   * Nobody knows what became of a message: it is published again.
   * @param isSent whether an instance may have had it, and a client have seen it
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
    // What came meanwhile must not reach a user who connects now before what nobody had.
    const all = isRouted ? taken : [...taken, ...line.queue.splice(0)]
    batch.isConfirmed = true
    for (const relay of all) {
      relay.state = 'confirmed'
      if (!isRouted) answered(relay)
      if (isOpen(relay)) confirmed(relay, isRouted, isHere)
    }
    goOn(batch)
  }

  /** A relay has its answer, for now: it need not be waited for with the next message. */
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
    /** Publishes a relay, when it is its turn. */
    add (relay: Relay): void {
      const { userId } = relay.delivery
      let line = lines.get(userId)
      if (line === undefined) lines.set(userId, line = { userId, queue: [], batch: undefined })
      insert(line, relay)
      dirty.add(line)
      schedule()
    },

    answered,

    /** The relays of a user that have no answer yet, the oldest first. */
    of (userId: string): Relay[] {
      const line = lines.get(userId)
      return line === undefined ? [] : [...line.batch?.waiting ?? [], ...line.queue].sort((a, b) => a.id - b.id)
    },

    /** The message that a relay is in has no answer in time. */
    overdue ({ batch }: Relay): void {
      if (batch !== undefined && batch.line.batch === batch) putBack(batch, true)
    },

    /** Publishes whatever can be. */
    resume (): void {
      for (const line of lines.values()) dirty.add(line)
      schedule()
    },

    close (): void {
      clearImmediate(scheduled)
    }
  }
}
