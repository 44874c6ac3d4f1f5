import { asksPeers, decide, type Situation, type Step } from './decide.js'
import type { Delivery } from './delivery.js'
import type { Hold } from './hold.js'
import type { InFlight } from './in-flight.js'
import type { Mailboxes } from './mailbox.js'
import type { GiveUp } from './offline-policy.js'
import type { Outcomes } from './outcomes.js'
import type { Registry } from './registry.js'

export interface PlacementParts {
  subscribers: Registry
  mailboxes: Mailboxes
  inFlight: InFlight
  /** With `offline: 'hold'`. */
  hold: Hold | undefined
  outcomes: Outcomes
  giveUp: GiveUp
}

/**
 * Takes the steps of a delivery: looks at its situation, decides, and does what was decided. An unexpected error fails
 * that delivery alone, and the others go on.
 */
export class Placement {
  /** From now on, what can't be delivered at once goes back to its source. */
  isClosing = false
  readonly #parts: PlacementParts

  constructor (parts: PlacementParts) {
    this.#parts = parts
  }

  /**
   * Takes the next step of a delivery.
   * @param isForAll whether the peers have been told already
   */
  place (delivery: Delivery, isForAll = false): void {
    try {
      delivery.isWaiting = false
      if (this.#isHandedOutFromHold(delivery)) this.#settleAsHeld(delivery)
      else this.#decide(delivery, isForAll)
    } catch (error) {
      this.#parts.outcomes.fail(delivery, error)
    }
  }

  #decide (delivery: Delivery, isForAll: boolean): void {
    const { inFlight, outcomes } = this.#parts
    const situation = this.#situation(delivery, isForAll ? 'none' : this.#peersOf(delivery))
    if (asksPeers(situation)) outcomes.peers?.deliver(delivery)
    const step = decide(situation)
    if (step !== 'offer') this.#take(step, delivery)
    else if (!inFlight.offer(delivery)) this.#take(decide({ ...situation, isFull: true }), delivery)
  }

  /** Whether a peer has put it into the hold, and a connection here was handed it from there. */
  #isHandedOutFromHold (delivery: Delivery): boolean {
    const handedOut = this.#parts.mailboxes.get(delivery.userId)?.inFlight.get(delivery.id)
    return handedOut !== undefined && handedOut !== delivery && handedOut.kind === 'held'
  }

  #settleAsHeld (delivery: Delivery): void {
    delivery.circumstance = 'repeated'
    this.#parts.outcomes.settle(delivery, 'held')
  }

  /** Takes the next step of a delivery after the peers have answered that the user is not connected there. */
  placeAlone (delivery: Delivery): void {
    if (this.isHere(delivery.userId)) return this.place(delivery)
    try {
      this.#take(decide(this.#situation(delivery, 'nobody')), delivery)
    } catch (error) {
      this.#parts.outcomes.fail(delivery, error)
    }
  }

  /** Hands over what waits for room, the oldest first, for as long as there is room at the user's connections. */
  offerWaiting (userId: string): void {
    const { mailboxes, outcomes } = this.#parts
    const mailbox = mailboxes.get(userId)
    if (mailbox === undefined) return
    mailbox.drain?.touch()
    for (let oldest = mailbox.firstWaiting; oldest !== undefined; oldest = mailbox.firstWaiting) {
      if (oldest.origin?.isMoved === true) outcomes.abandon(oldest)
      else if (!oldest.isSettled && !this.#offer(oldest)) return
      mailbox.stopWaiting(oldest)
    }
  }

  /** Whether a user has a connection on this instance. */
  isHere (userId: string): boolean {
    return this.#parts.subscribers.of(userId).length > 0
  }

  /** Whether a delivery that waits need not wait any longer. */
  #offer (delivery: Delivery): boolean {
    try {
      return this.#parts.inFlight.offer(delivery)
    } catch (error) {
      this.#parts.outcomes.fail(delivery, error)
      return true
    }
  }

  #situation (delivery: Delivery, peers: Situation['peers']): Situation {
    const { mailboxes, hold } = this.#parts
    const { kind, userId, origin, isGone } = delivery
    const mailbox = mailboxes.get(userId)
    const isHere = this.isHere(userId)
    return {
      kind,
      isHere,
      isFull: false,
      isBehind: mailbox !== undefined && (mailbox.drain !== undefined || (isHere && mailbox.waiting !== undefined)),
      peers,
      returns: origin?.returns ?? false,
      isGone,
      isClosing: this.isClosing,
      hasHold: hold !== undefined
    }
  }

  #peersOf (delivery: Delivery): Situation['peers'] {
    if (this.#parts.outcomes.peers === undefined) return 'none'
    return delivery.relay === undefined ? 'unasked' : 'asked'
  }

  #take (step: Step, delivery: Delivery): void {
    const { mailboxes, hold, outcomes } = this.#parts
    if (step === 'refuse') return outcomes.settle(delivery, 'offline')
    if (step === 'abandon') return outcomes.abandon(delivery)
    if (step === 'leave') return outcomes.forget(delivery)
    const mailbox = mailboxes.open(delivery.userId)
    mailbox.pending.set(delivery.id, delivery)
    delivery.isWaiting = step !== 'await-peers'
    if (step === 'wait') mailbox.wait(delivery)
    else if (step === 'hold') hold!.keep(mailbox, delivery)
    else if (step === 'give-up') this.#giveUp(delivery)
  }

  #giveUp (delivery: Delivery): void {
    const { outcomes, giveUp } = this.#parts
    const { notification, origin } = delivery
    const given = giveUp(notification, origin!)
    if (!(given instanceof Promise)) return outcomes.settle(delivery, given.outcome)
    given.then(({ outcome }) => { if (!delivery.isSettled) outcomes.settle(delivery, outcome) }, (error: unknown) => {
      // Another message has joined the delivery meanwhile, and must not be lost with this one.
      if (delivery.origin !== origin) this.#giveUp(delivery)
      else outcomes.fail(delivery, error)
    })
  }
}
