import { setMaxListeners } from 'node:events'
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { Backoff } from '../backoff.js'
import { Delivery } from './delivery.js'
import type { Held, HoldStore } from './doors.js'
import type { HoldAnswer } from './hold-end.js'
import { HoldTransit } from './hold-transit.js'
import { HoldRemovals } from './hold-removals.js'
import type { InFlight } from './in-flight.js'
import type { Mailbox, Mailboxes } from './mailbox.js'
import { fromJson } from './notification.js'
import type { Registry } from './registry.js'

/**
 * How many notifications are read from the store at a time, and how many bytes. It is handed out in one turn of the event
 * loop, and is in memory for each user who reads it slowly.
 */
const BATCH = 100
const BATCH_BYTES = 65_536

/** Waits between attempts while the store can't be reached, in milliseconds. */
const RETRY = { initialDelay: 100, maxDelay: 5_000 }

export interface HoldParts {
  store: HoldStore
  subscribers: Registry
  mailboxes: Mailboxes
  inFlight: Pick<InFlight, 'hasRoom' | 'offer' | 'relieved'>
  log: FastifyBaseLogger
  /** The store has answered. */
  kept (delivery: Delivery, answer: HoldAnswer): void
  /** The notification of a call could not be kept. */
  failed (delivery: Delivery, error: unknown): void
  /** The delivery was gone before it could be kept. */
  abandoned (delivery: Delivery): void
  /** A client acknowledged a notification late. The store still had it, and has removed it. */
  settledLate (userId: string, id: string): void
}

/**
 * Keeps notifications that can't be delivered now, and delivers them as soon as possible, the oldest first. While the store
 * fails, a user who is connected gets what is newer, and what can't be kept, without waiting for it.
 */
export class Hold {
  readonly #parts: HoldParts
  readonly #removals: HoldRemovals
  readonly #keeping = new Set<Promise<void>>()
  readonly #closed = new AbortController()

  constructor (parts: HoldParts) {
    this.#parts = parts
    this.#removals = new HoldRemovals(parts.store, parts.settledLate)
    setMaxListeners(0, this.#closed.signal) // each call that waits to be retried adds a listener
  }

  /** Keeps a delivery. Its outcome is known when the store has it. */
  keep (mailbox: Mailbox, delivery: Delivery): void {
    const transit = mailbox.holdTransit ??= new HoldTransit()
    transit.adding.add(delivery)
    const kept = this.#keep(mailbox, transit, delivery).finally(() => this.#keeping.delete(kept))
    this.#keeping.add(kept)
  }

  /** Delivers what is kept for a user, the oldest first, before anything newer. */
  start (userId: string): void {
    this.#start(userId, true)
  }

  #start (userId: string, fromOldest: boolean): void {
    if (this.#closed.signal.aborted) return
    const mailbox = this.#parts.mailboxes.open(userId)
    const transit = mailbox.holdTransit ??= new HoldTransit()
    // A peer may have put something older into the store meanwhile.
    if (fromOldest) transit.isRewound = true
    transit.touch()
    if (transit.isReading) return
    transit.isReading = true
    transit.isRewound = true
    this.#drain(mailbox, transit).catch((err: unknown) => this.#parts.log.error({ err, userId }, 'hold not drained'))
  }

  /** The connections that had a held notification have ended. Now only the store has it. */
  returned ({ userId, position }: Delivery): void {
    this.#lookAgain(userId, position)
  }

  /**
   * Removes a settled notification.
   * @param isLate whether a client acknowledged a notification that is not in flight and may be in the store
   */
  remove (userId: string, id: string, isLate = false): void {
    const transit = this.#parts.mailboxes.get(userId)?.holdTransit
    if (transit?.isReading === true) transit.settled.add(id)
    this.#removals.add(userId, id, isLate)
  }

  /** Stops delivering. Resolves when every notification on its way into the store is kept, or can't be. */
  async close (): Promise<void> {
    await this.#removals.flush()
    this.#closed.abort()
    for (const { holdTransit } of this.#parts.mailboxes) holdTransit?.touch()
    await Promise.all(this.#keeping)
  }

  /** Hands what can't be kept to the user's connections, unless something older waits. The store may have it after all. */
  #offer (transit: HoldTransit, delivery: Delivery): boolean {
    if (transit.adding.first !== delivery || delivery.isSettled || delivery.holders.length > 0 || !this.#parts.inFlight.hasRoom(delivery.userId)) return false
    delivery.isMaybeHeld = true
    return this.#parts.inFlight.offer(delivery)
  }

  /** The caller of notify() learns of a failure at once. For a message, retries until the message is gone. */
  async #keep (mailbox: Mailbox, transit: HoldTransit, delivery: Delivery): Promise<void> {
    const { store, kept, failed, abandoned } = this.#parts
    const { userId, id, position, expiresAt, origin } = delivery
    const add = async () => await store.add(userId, { id, content: delivery.notification.payload.json, position, expiresAt })
    try {
      const added = await this.#retry(add, () => !delivery.isGone, transit, error => {
        if (this.#offer(transit, delivery)) return true
        if (origin?.redelivers !== true) throw error
        return false
      })
      if (added === 'known') kept(delivery, 'known')
      else if (added !== undefined) kept(delivery, added.includes(id) ? 'offline' : 'held')
      else if (delivery.isGone) abandoned(delivery)
    } catch (error) {
      failed(delivery, error)
    } finally {
      transit.adding.delete(delivery)
      transit.firstAdded = Math.min(transit.firstAdded, position)
      transit.touch()
      this.#lookAgain(userId, position)
      this.#prune(mailbox, transit)
    }
  }

  /** Restarts from the oldest if a notification was added at a position that has been read already. */
  #lookAgain (userId: string, position: number): void {
    const { mailboxes, subscribers } = this.#parts
    const transit = mailboxes.get(userId)?.holdTransit
    if (transit !== undefined && position <= transit.reached) transit.isRewound = true
    if (subscribers.of(userId).length > 0) this.#start(userId, false)
  }

  async #drain (mailbox: Mailbox, transit: HoldTransit): Promise<void> {
    const { userId } = mailbox
    const isWanted = () => this.#parts.subscribers.of(userId).length > 0 && !this.#closed.signal.aborted
    try {
      while (isWanted()) {
        if (transit.isRewound) transit.begin()
        const { version } = transit
        transit.firstAdded = Infinity
        transit.settled = new Set(this.#removals.of(userId))
        const held = await this.#retry(async () => await this.#parts.store.read(userId, transit.cursor, BATCH, BATCH_BYTES), isWanted, transit)
        if (held === undefined) return
        const first = Math.min(transit.firstAdding, transit.firstAdded)
        const ready = held.filter(({ position }) => position < first)
        transit.reached = ready.at(-1)?.position ?? transit.reached
        if (ready.length > 0) {
          await this.#deliver(mailbox, transit, ready, isWanted)
          await nextTurn() // others have their turn before the next batch
        } else if (transit.version !== version) continue
        else if (transit.adding.size === 0) return
        else await transit.changed()
      }
    } finally {
      // In the same turn in which nothing was left: the next notification must not wait for a drain that has ended.
      transit.isReading = false
      this.#prune(mailbox, transit)
    }
  }

  async #deliver ({ userId, inFlight: handedOut }: Mailbox, transit: HoldTransit, ready: readonly Held[], isWanted: () => boolean): Promise<void> {
    const { inFlight } = this.#parts
    for (const held of ready) {
      const delivery = new Delivery(fromJson(userId, held.id, held.content), undefined, held.position, held.expiresAt, 'held')
      delivery.redelivered = true // maybe; the store does not know
      const isDone = () => transit.settled.has(held.id) || handedOut.has(held.id)
      while (true) {
        if (!isWanted() || transit.isRewound) return
        if (isDone() || (inFlight.hasRoom(userId) && inFlight.offer(delivery))) break
        await transit.changed(over => inFlight.relieved(userId, over))
      }
      transit.cursor = held
    }
  }

  /**
   * Calls the store until it answers. Returns undefined if the answer is not wanted any more.
   * @param failed called after each failure. Returns whether the call need not be repeated
   */
  async #retry<T> (call: () => Promise<T>, isWanted: () => boolean, transit: HoldTransit, failed: (error: unknown) => boolean = () => false): Promise<T | undefined> {
    const backoff = new Backoff(RETRY)
    while (true) {
      try {
        const result = await call()
        transit.isFailing = false
        return result
      } catch (error) { // the store reports its own failures
        transit.isFailing = true
        if (failed(error)) return undefined
      }
      await delay(backoff.next(), undefined, { signal: this.#closed.signal }).catch(() => {})
      if (this.#closed.signal.aborted || !isWanted()) return undefined
    }
  }

  #prune (mailbox: Mailbox, transit: HoldTransit): void {
    if (transit.adding.size > 0 || transit.isReading || mailbox.holdTransit !== transit) return
    mailbox.holdTransit = undefined
    this.#parts.mailboxes.prune(mailbox)
  }
}
