import { ByPosition } from './by-position.js'
import type { Delivery } from './delivery.js'
import type { HoldTransit } from './hold-transit.js'
import { SmallMap } from './small-map.js'

/** Everything that is in progress for one user on this instance. A mailbox exists only while it is not empty. */
export class Mailbox {
  // Most mailboxes need one of them.
  #inFlight: SmallMap<string, Delivery> | undefined
  #pending: SmallMap<string, Delivery> | undefined
  /** The deliveries of `pending` that wait for room, the oldest first; undefined if there are none. */
  waitingForRoom: ByPosition<Delivery, Delivery> | undefined
  /** The user's notifications on their way into and out of the hold; undefined if there are none. */
  holdTransit: HoldTransit | undefined

  constructor (readonly userId: string) {}

  /** Deliveries that connections here have and have not acknowledged, by id, in the order of handing out. */
  get inFlight (): SmallMap<string, Delivery> {
    return (this.#inFlight ??= new SmallMap())
  }

  /** Other deliveries without an outcome, by id: they wait for room, the hold, peers or the dead-letter queue. */
  get pending (): SmallMap<string, Delivery> {
    return (this.#pending ??= new SmallMap())
  }

  /** Finds the delivery in progress that has an id. */
  find (id: string): Delivery | undefined {
    return this.#inFlight?.get(id) ?? this.#pending?.get(id)
  }

  /** All deliveries in progress. */
  * deliveries (): Generator<Delivery, void, undefined> {
    yield * this.#inFlight?.values() ?? []
    yield * this.#pending?.values() ?? []
  }

  /** Makes a delivery wait for room, in the order of positions. */
  waitForRoom (delivery: Delivery): void {
    (this.waitingForRoom ??= new ByPosition(item => item)).add(delivery)
  }

  /** The oldest delivery that waits for room. */
  get firstWaitingForRoom (): Delivery | undefined {
    return this.waitingForRoom?.first
  }

  /** Stops waiting for room. */
  stopWaitingForRoom (delivery: Delivery): void {
    this.waitingForRoom?.delete(delivery)
    if (this.waitingForRoom?.size === 0) this.waitingForRoom = undefined
  }

  /** Takes out all deliveries that wait for room, the oldest first. */
  takeWaitingForRoom (): Delivery[] {
    const waiting = [...this.waitingForRoom?.values() ?? []]
    this.waitingForRoom = undefined
    return waiting
  }

  /** Removes a delivery, whatever it waits for. */
  remove (delivery: Delivery): void {
    const { id } = delivery
    if (this.#inFlight?.get(id) === delivery) this.#inFlight.delete(id)
    if (this.#pending?.get(id) === delivery) this.#pending.delete(id)
    this.stopWaitingForRoom(delivery)
  }

  get isEmpty (): boolean {
    return !this.#inFlight?.size && !this.#pending?.size && this.holdTransit === undefined
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
