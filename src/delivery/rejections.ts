import type { AckWindow } from './ack-window.js'
import type { Delivery } from './delivery.js'
import type { Origin, Subscriber } from './doors.js'
import type { Hold } from './hold.js'
import type { InFlight } from './in-flight.js'
import type { Mailboxes } from './mailbox.js'
import type { Outcomes } from './outcomes.js'
import type { Placement } from './placement.js'

/** Waits before the next try, in milliseconds, doubled each time. */
const MIN_RETRY = 1_000
const MAX_RETRY = 30_000

/** Maximum number of notifications whose rejections are counted. The oldest are forgotten, and begin anew. */
const MAX_COUNTED = 10_000

export interface RejectionsParts {
  /** How often a notification is handed out in all before it is given up. */
  maxDeliveries: number
  mailboxes: Mailboxes
  inFlight: InFlight
  /** Where clients acknowledge. */
  window: AckWindow | undefined
  /** With `offline: 'hold'`. */
  hold: Hold | undefined
  outcomes: Outcomes
  placement: Placement
  /** Dead-letters what has no message of its own: a notification of the hold, or of a peer. */
  ownOrigin: Pick<Origin, 'deadLetter'>
}

/**
 * What clients could not handle. It is tried again after a while, on any connection of the user, and given up after
 * `maxDeliveries` times. Meanwhile it takes no room, so it never blocks those behind it.
 */
export class Rejections {
  readonly #parts: RejectionsParts
  /** How often each notification was rejected. Counted apart from deliveries: the hold makes a new one each time. */
  readonly #counts = new Map<string, number>()
  readonly #retries = new Map<Delivery, NodeJS.Timeout>()

  constructor (parts: RejectionsParts) {
    this.#parts = parts
  }

  /** A client could not handle notifications. Nothing happens while another connection of the user may. */
  reject (subscriber: Subscriber, ids: readonly string[]): void {
    const { inFlight, placement, maxDeliveries } = this.#parts
    for (const delivery of inFlight.rejected(subscriber, ids)) {
      const count = this.#count(delivery)
      delivery.redelivered = true
      if (count >= maxDeliveries) this.#giveUp(delivery)
      else this.#retryLater(delivery, Math.min(MIN_RETRY * 2 ** (count - 1), MAX_RETRY))
    }
    placement.offerWaiting(subscriber.userId)
  }

  /**
   * A client acknowledges a notification after all.
   * @returns whether it was waiting for the next try
   */
  withdraw (userId: string, id: string): boolean {
    if (this.#counts.size === 0) return false
    this.#counts.delete(keyOf(userId, id))
    const delivery = this.#parts.mailboxes.get(userId)?.pending.get(id)
    if (delivery === undefined || !this.#retries.has(delivery)) return false
    this.#stopWaiting(delivery)
    this.#parts.outcomes.settle(delivery, 'acknowledged')
    return true
  }

  /** The application is closing: nothing waits for the next try any more. */
  drain (): void {
    for (const delivery of this.#retries.keys()) this.#retry(delivery)
  }

  #count ({ userId, id }: Delivery): number {
    const key = keyOf(userId, id)
    const count = (this.#counts.get(key) ?? 0) + 1
    this.#counts.delete(key) // so that it becomes the newest entry
    this.#counts.set(key, count)
    const [oldest] = this.#counts.keys()
    if (this.#counts.size > MAX_COUNTED) this.#counts.delete(oldest!)
    return count
  }

  #retryLater (delivery: Delivery, wait: number): void {
    this.#putAside(delivery, 'retry')
    this.#retries.set(delivery, setTimeout(() => this.#retry(delivery), wait))
  }

  /** No connection has it, and nothing is done for it until it is tried again or dead-lettered. */
  #putAside (delivery: Delivery, cause: 'retry' | 'dead-letters'): void {
    const { mailboxes, window, outcomes } = this.#parts
    if (delivery.kind === 'held') {
      // The hold has it. Whoever has joined it need not wait.
      outcomes.settleGuests(delivery, 'held')
      delivery.settle('held')
    } else {
      delivery.waitFor(cause)
      if (delivery.isGivenUp) window?.delete(delivery)
      mailboxes.open(delivery.userId).pending.set(delivery.id, delivery)
    }
  }

  #retry (delivery: Delivery): void {
    const { mailboxes, hold, placement } = this.#parts
    this.#stopWaiting(delivery)
    if (delivery.kind === 'held') hold!.returned(delivery)
    // Meanwhile it may have got its outcome, or be given up.
    else if (delivery.waitsFor === 'retry' && mailboxes.get(delivery.userId)?.pending.get(delivery.id) === delivery) placement.place(delivery)
  }

  #stopWaiting (delivery: Delivery): void {
    clearTimeout(this.#retries.get(delivery))
    this.#retries.delete(delivery)
  }

  /** Puts a delivery into the dead-letter queue. */
  #giveUp (delivery: Delivery): void {
    const { hold, outcomes, ownOrigin } = this.#parts
    const { notification, userId, id, kind, origin = ownOrigin } = delivery
    this.#counts.delete(keyOf(userId, id))
    this.#putAside(delivery, 'dead-letters')
    origin.deadLetter(notification, 'rejected').then(() => {
      if (kind === 'held') hold!.remove(userId, id)
      if (delivery.isSettled) return
      delivery.circumstance = 'rejected'
      outcomes.settle(delivery, 'dead-lettered')
    }, (error: unknown) => {
      if (kind === 'held') this.#retryLater(delivery, MAX_RETRY)
      // Another message has joined the delivery meanwhile, and must not be lost with this one.
      else if (delivery.origin !== undefined && delivery.origin !== origin) this.#giveUp(delivery)
      else outcomes.fail(delivery, error)
    })
  }
}

function keyOf (userId: string, id: string): string {
  return `${userId}\n${id}` // no id has a control character
}
