import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { Delivery } from './delivery.js'
import type { Held, HoldStore } from './doors.js'
import { HoldDrain } from './hold-drain.js'
import { HoldRemovals } from './hold-removals.js'
import type { InFlight } from './in-flight.js'
import type { Mailbox, Mailboxes } from './mailbox.js'
import { fromJson } from './notification.js'
import type { Registry } from './registry.js'

/** How many notifications are read from the store at a time. */
const BATCH = 100

/** Waits between attempts while the store can't be reached, in milliseconds, doubled each time. */
const MIN_RETRY = 100
const MAX_RETRY = 5_000

export interface HoldParts {
  store: HoldStore
  subscribers: Registry
  mailboxes: Mailboxes
  inFlight: Pick<InFlight, 'hasRoom' | 'offer' | 'relieved'>
  log: FastifyBaseLogger
  /** `held`: the store keeps the delivery. `known`: the store had its id already. `offline`: the store had no room. */
  kept (delivery: Delivery, outcome: 'held' | 'known' | 'offline'): void
  /** The notification of a call could not be kept. */
  failed (delivery: Delivery, error: unknown): void
  /** The delivery was gone before it could be kept. */
  abandoned (delivery: Delivery): void
  /** A client acknowledged a notification late. The store still had it, and has removed it. */
  settledLate (userId: string, id: string): void
}

/** Keeps notifications that can't be delivered now, and delivers them as soon as possible, the oldest first. */
export class Hold {
  readonly #parts: HoldParts
  readonly #removals: HoldRemovals
  readonly #keeping = new Set<Promise<void>>()
  readonly #closed = new AbortController()
  #isFailing = false

  constructor (parts: HoldParts) {
    this.#parts = parts
    this.#removals = new HoldRemovals(parts.store, parts.settledLate)
    setMaxListeners(0, this.#closed.signal) // each call that waits to be retried adds a listener
  }

  /** Keeps a delivery. Its outcome is known when the store has it. */
  keep (mailbox: Mailbox, delivery: Delivery): void {
    const drain = mailbox.drain ??= new HoldDrain()
    drain.adding.add(delivery)
    const kept = this.#keep(mailbox, drain, delivery).finally(() => this.#keeping.delete(kept))
    this.#keeping.add(kept)
  }

  /** Delivers what is kept for a user, the oldest first, before anything newer. */
  start (userId: string): void {
    this.#start(userId, true)
  }

  #start (userId: string, fromOldest: boolean): void {
    if (this.#closed.signal.aborted) return
    const mailbox = this.#parts.mailboxes.open(userId)
    const drain = mailbox.drain ??= new HoldDrain()
    // A peer may have put something older into the store meanwhile.
    if (fromOldest) drain.isRewound = true
    drain.touch()
    if (drain.isReading) return
    drain.isReading = true
    drain.isRewound = true
    this.#drain(mailbox, drain).catch((err: unknown) => this.#parts.log.error({ err, userId }, 'hold not drained'))
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
    const drain = this.#parts.mailboxes.get(userId)?.drain
    if (drain?.isReading === true) drain.settled.add(id)
    this.#removals.add(userId, id, isLate)
  }

  /** Stops delivering. Resolves when every notification on its way into the store is kept, or can't be. */
  async close (): Promise<void> {
    await this.#removals.flush()
    this.#closed.abort()
    for (const { drain } of this.#parts.mailboxes) drain?.touch()
    await Promise.all(this.#keeping)
  }

  /** The caller of notify() learns of a failure at once. For a message, retries until the message is gone. */
  async #keep (mailbox: Mailbox, drain: HoldDrain, delivery: Delivery): Promise<void> {
    const { store, kept, failed, abandoned } = this.#parts
    const { userId, id, position, expiresAt, origin } = delivery
    const add = async () => await store.add(userId, { id, content: delivery.notification.payload.json, position, expiresAt })
    try {
      const added = origin?.returns === true ? await this.#retry(add, () => !delivery.isGone) : await add()
      if (added === 'known') kept(delivery, 'known')
      else if (added !== undefined) kept(delivery, added.includes(id) ? 'offline' : 'held')
      else if (delivery.isGone) abandoned(delivery)
    } catch (error) {
      failed(delivery, error)
    } finally {
      drain.adding.delete(delivery)
      drain.firstAdded = Math.min(drain.firstAdded, position)
      drain.touch()
      this.#lookAgain(userId, position)
      this.#prune(mailbox, drain)
    }
  }

  /** Restarts from the oldest if a notification was added at a position that has been read already. */
  #lookAgain (userId: string, position: number): void {
    const { mailboxes, subscribers } = this.#parts
    const drain = mailboxes.get(userId)?.drain
    if (drain !== undefined && position <= drain.reached) drain.isRewound = true
    if (subscribers.of(userId).length > 0) this.#start(userId, false)
  }

  async #drain (mailbox: Mailbox, drain: HoldDrain): Promise<void> {
    const { userId } = mailbox
    const isWanted = () => this.#parts.subscribers.of(userId).length > 0 && !this.#closed.signal.aborted
    try {
      while (isWanted()) {
        if (drain.isRewound) drain.begin()
        const { version } = drain
        drain.firstAdded = Infinity
        drain.settled = new Set(this.#removals.of(userId))
        const held = await this.#retry(async () => await this.#parts.store.read(userId, drain.cursor, BATCH), isWanted)
        if (held === undefined) return
        const first = Math.min(drain.firstAdding, drain.firstAdded)
        const ready = held.filter(({ position }) => position < first)
        drain.reached = ready.at(-1)?.position ?? drain.reached
        if (ready.length > 0) await this.#deliver(mailbox, drain, ready, isWanted)
        else if (drain.version !== version) continue
        else if (drain.adding.size === 0) return
        else await drain.changed()
      }
    } finally {
      // In the same turn in which nothing was left: the next notification must not wait for a drain that has ended.
      drain.isReading = false
      this.#prune(mailbox, drain)
    }
  }

  async #deliver ({ userId, inFlight: handedOut }: Mailbox, drain: HoldDrain, ready: readonly Held[], isWanted: () => boolean): Promise<void> {
    const { inFlight } = this.#parts
    for (const held of ready) {
      const delivery = new Delivery(fromJson(userId, held.id, held.content), undefined, held.position, held.expiresAt, 'held')
      delivery.redelivered = true // maybe; the store does not know
      const isDone = () => drain.settled.has(held.id) || handedOut.has(held.id)
      while (true) {
        if (!isWanted() || drain.isRewound) return
        if (isDone() || (inFlight.hasRoom(userId) && inFlight.offer(delivery))) break
        await drain.changed(over => inFlight.relieved(userId, over))
      }
      drain.cursor = held
    }
  }

  /** Calls the store until it answers. Returns undefined if the answer is not wanted any more. */
  async #retry<T> (call: () => Promise<T>, isWanted: () => boolean): Promise<T | undefined> {
    const { log } = this.#parts
    for (let wait = MIN_RETRY; ; wait = Math.min(2 * wait, MAX_RETRY)) {
      try {
        const result = await call()
        if (this.#isFailing) log.info('hold works again')
        this.#isFailing = false
        return result
      } catch (err) {
        if (!this.#isFailing) log.warn({ err }, 'hold failed')
        this.#isFailing = true
      }
      await delay(wait, undefined, { signal: this.#closed.signal }).catch(() => {})
      if (this.#closed.signal.aborted || !isWanted()) return undefined
    }
  }

  #prune (mailbox: Mailbox, drain: HoldDrain): void {
    if (drain.adding.size > 0 || drain.isReading || mailbox.drain !== drain) return
    mailbox.drain = undefined
    this.#parts.mailboxes.prune(mailbox)
  }
}
