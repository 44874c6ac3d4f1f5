import { ByPosition } from './by-position.js'
import type { Delivery } from './delivery.js'
import type { HoldDrain } from './hold-drain.js'

/** Everything that is under way for one user on this instance. It exists only while something is. */
export class Mailbox {
  /** What connections here were handed and have not acknowledged, by id, in the order of handing out. */
  readonly inFlight = new Map<string, Delivery>()
  /** What else has no outcome yet, by id: it waits for room, for the hold, for peers or for the dead-letter queue. */
  readonly pending = new Map<string, Delivery>()
  /** Those of `pending` that wait for room, the oldest first; undefined if there are none. */
  waiting: ByPosition<Delivery, Delivery> | undefined
  /** What goes into the hold and comes out of it. */
  drain: HoldDrain | undefined

  constructor (readonly userId: string) {}

  /** Finds what is under way under an id. */
  find (id: string): Delivery | undefined {
    return this.inFlight.get(id) ?? this.pending.get(id)
  }

  /** Lets a delivery wait for room: behind what is older, and before what is newer. */
  wait (delivery: Delivery): void {
    (this.waiting ??= new ByPosition(item => item)).add(delivery)
  }

  /** The oldest delivery that waits for room. */
  get firstWaiting (): Delivery | undefined {
    return this.waiting?.first
  }

  /** A delivery does not wait for room any more. */
  stopWaiting (delivery: Delivery): void {
    this.waiting?.delete(delivery)
    if (this.waiting?.size === 0) this.waiting = undefined
  }

  /** Takes out all that waits for room, the oldest first. */
  takeWaiting (): Delivery[] {
    const waiting = this.waiting === undefined ? [] : [...this.waiting.values()]
    this.waiting = undefined
    return waiting
  }

  /** Forgets a delivery, whatever it waits for. */
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

/** The mailboxes by user. */
export class Mailboxes {
  readonly #byUser = new Map<string, Mailbox>()

  get (userId: string): Mailbox | undefined {
    return this.#byUser.get(userId)
  }

  /** Gets a user's mailbox, and makes one if there is none. */
  open (userId: string): Mailbox {
    let mailbox = this.#byUser.get(userId)
    if (mailbox === undefined) this.#byUser.set(userId, mailbox = new Mailbox(userId))
    return mailbox
  }

  /** Lets a mailbox go when nothing is under way for its user. */
  prune (mailbox: Mailbox): void {
    if (mailbox.isEmpty && this.#byUser.get(mailbox.userId) === mailbox) this.#byUser.delete(mailbox.userId)
  }

  [Symbol.iterator] (): IterableIterator<Mailbox> {
    return this.#byUser.values()
  }
}
