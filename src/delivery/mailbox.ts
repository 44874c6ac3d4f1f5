import { ByPosition } from './by-position.js'
import type { Delivery } from './delivery.js'
import type { HoldDrain } from './hold-drain.js'

/** Everything that is in progress for one user on this instance. A mailbox exists only while it is not empty. */
export class Mailbox {
  /** Deliveries that connections here have and have not acknowledged, by id, in the order of handing out. */
  readonly inFlight = new Map<string, Delivery>()
  /** Other deliveries without an outcome, by id: they wait for room, the hold, peers or the dead-letter queue. */
  readonly pending = new Map<string, Delivery>()
  /** The deliveries of `pending` that wait for room, the oldest first; undefined if there are none. */
  waiting: ByPosition<Delivery, Delivery> | undefined
  /** The user's notifications on their way into and out of the hold; undefined if there are none. */
  drain: HoldDrain | undefined

  constructor (readonly userId: string) {}

  /** Finds the delivery in progress that has an id. */
  find (id: string): Delivery | undefined {
    return this.inFlight.get(id) ?? this.pending.get(id)
  }

  /** Makes a delivery wait for room, in the order of positions. */
  wait (delivery: Delivery): void {
    (this.waiting ??= new ByPosition(item => item)).add(delivery)
  }

  /** The oldest delivery that waits for room. */
  get firstWaiting (): Delivery | undefined {
    return this.waiting?.first
  }

  /** Stops waiting for room. */
  stopWaiting (delivery: Delivery): void {
    this.waiting?.delete(delivery)
    if (this.waiting?.size === 0) this.waiting = undefined
  }

  /** Takes out all deliveries that wait for room, the oldest first. */
  takeWaiting (): Delivery[] {
    const waiting = this.waiting === undefined ? [] : [...this.waiting.values()]
    this.waiting = undefined
    return waiting
  }

  /** Removes a delivery, whatever it waits for. */
  remove (delivery: Delivery): void {
    const { id } = delivery
    if (this.inFlight.get(id) === delivery) this.inFlight.delete(id)
    if (this.pending.get(id) === delivery) this.pending.delete(id)
    this.stopWaiting(delivery)
  }

  get isEmpty (): boolean {
    return this.inFlight.size === 0 && this.pending.size === 0 && this.drain === undefined
  }
}

/** The mailboxes, by user. */
export class Mailboxes {
  readonly #byUser = new Map<string, Mailbox>()

  get (userId: string): Mailbox | undefined {
    return this.#byUser.get(userId)
  }

  /** Gets a user's mailbox, and creates it if there is none. */
  open (userId: string): Mailbox {
    let mailbox = this.#byUser.get(userId)
    if (mailbox === undefined) this.#byUser.set(userId, mailbox = new Mailbox(userId))
    return mailbox
  }

  /** Drops a mailbox if nothing is in progress for its user. */
  prune (mailbox: Mailbox): void {
    if (mailbox.isEmpty && this.#byUser.get(mailbox.userId) === mailbox) this.#byUser.delete(mailbox.userId)
  }

  [Symbol.iterator] (): IterableIterator<Mailbox> {
    return this.#byUser.values()
  }
}
