import type { Delivery } from './delivery.js'
import type { Observer, Result } from './doors.js'
import type { Hold } from './hold.js'
import type { InFlight } from './in-flight.js'
import type { Mailboxes } from './mailbox.js'
import type { Outcomes } from './outcomes.js'
import type { Payload } from './payload.js'
import type { PeerListener, PeerOutcome } from './peers.js'
import type { Placement } from './placement.js'

export interface PeerRequestsParts {
  mailboxes: Mailboxes
  inFlight: InFlight
  /** With `offline: 'hold'`. */
  hold: Hold | undefined
  outcomes: Outcomes
  placement: Placement
  observer: Observer
}

/** Takes what peers ask and answer. */
export class PeerRequests implements PeerListener {
  readonly #parts: PeerRequestsParts

  constructor (parts: PeerRequestsParts) {
    this.#parts = parts
  }

  isHere (userId: string): boolean {
    return this.#parts.placement.isHere(userId)
  }

  host (guest: Delivery): Result | Promise<Result> {
    const { observer } = this.#parts
    observer.hosted(guest.notification)
    return observer.run === undefined ? this.#host(guest) : observer.run(guest.notification, () => this.#host(guest))
  }

  #host (guest: Delivery): Result | Promise<Result> {
    const { mailboxes, placement, observer } = this.#parts
    const same = mailboxes.get(guest.userId)?.find(guest.id)
    if (same !== undefined && guest.redelivered) same.redelivered = true // meanwhile another instance may have had it
    if (same === undefined) {
      placement.place(guest)
      return guest.result
    }
    const result = this.#join(same, guest)
    // The delivery that the guest has joined is told by itself; what follows the guest needs its end.
    const tell = (result: Result) => observer.settled(guest.notification, undefined, 'guest', result, 'joined')
    if (result instanceof Promise) result.then(tell, (error: unknown) => observer.failed(guest.notification, undefined, error))
    else tell(result)
    return result
  }

  #join (same: Delivery, guest: Delivery): Result | Promise<Result> {
    if (same.kind === 'guest') return this.#follow(same, guest) // another instance has it too: the broker delivered it again
    if (same.holders.length > 0 || same.isWaiting || same.isSentHere) (same.guests ??= []).push(guest)
    // What waits for peers itself must not be waited for: two instances would wait for each other.
    else guest.settle('offline')
    return guest.result
  }

  /** A guest has the outcome of another one, and its deadline. */
  async #follow (same: Delivery, guest: Delivery): Promise<Result> {
    const result = await same.result
    guest.isOverdue = same.isOverdue
    return result
  }

  peerTook (delivery: Delivery): void {
    delivery.isTakenElsewhere = true
  }

  peerOverdue (delivery: Delivery): void {
    if (!delivery.isSettled && !delivery.isWaiting) this.#parts.placement.stopWaiting(delivery)
  }

  stop (payloads: ReadonlySet<Payload>): void {
    if (payloads.size === 0) return
    const found: Delivery[] = []
    for (const mailbox of this.#parts.mailboxes) {
      for (const delivery of mailbox.deliveries()) if (payloads.has(delivery.notification.payload)) found.push(delivery)
    }
    this.#parts.placement.stopWaitingAll(found)
  }

  peersAnswered (delivery: Delivery, isElsewhere: boolean): void {
    const { outcomes, placement } = this.#parts
    if (delivery.isSettled || delivery.isWaiting) return
    if (delivery.isSentHere) return outcomes.settle(delivery, 'sent')
    if (!isElsewhere && delivery.holders.length === 0) placement.placeAlone(delivery)
  }

  reconsider (delivery: Delivery): void {
    if (!delivery.isSettled && !delivery.isWaiting) this.#parts.placement.place(delivery)
  }

  peerSettled (delivery: Delivery, outcome: PeerOutcome, connections: number): void {
    if (delivery.isSettled) return
    this.#settle(delivery, outcome, connections)
    if (delivery.kind !== 'guest') return
    // Two peers may have asked for the same notification: what one of them tells holds for the guest of the other.
    const other = this.#parts.mailboxes.get(delivery.userId)?.find(delivery.id)
    if (other?.kind === 'guest' && !other.isSettled) this.#settle(other, outcome, 0)
  }

  #settle (delivery: Delivery, outcome: PeerOutcome, connections: number): void {
    const { inFlight, hold, outcomes, placement } = this.#parts
    delivery.connections += connections
    delivery.circumstance = outcome === 'dead-lettered' ? 'rejected' : 'relayed'
    if (outcome === 'held' && hold !== undefined) inFlight.moveToHold(delivery)
    else inFlight.release(delivery, outcome === 'acknowledged')
    outcomes.settle(delivery, outcome)
    placement.offerWaiting(delivery.userId)
  }

  abandon (delivery: Delivery): void {
    this.#parts.outcomes.abandon(delivery)
  }

  fail (delivery: Delivery, error: unknown): void {
    this.#parts.outcomes.fail(delivery, error)
  }

  wake (userId: string): void {
    const { hold, placement } = this.#parts
    if (placement.isHere(userId)) hold?.start(userId)
  }
}
