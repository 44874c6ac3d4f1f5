import type { AckWindow } from './ack-window.js'
import { asksPeers, decide, type Situation, type Step } from './decide.js'
import type { Delivery } from './delivery.js'
import type { Hold } from './hold.js'
import type { InFlight } from './in-flight.js'
import type { Mailboxes } from './mailbox.js'
import type { OfflinePolicy } from './offline-policy.js'
import type { Outcomes } from './outcomes.js'
import type { Registry } from './registry.js'

export interface PlacementParts {
  subscribers: Registry
  mailboxes: Mailboxes
  inFlight: InFlight
  /** With `offline: 'hold'`. */
  hold: Hold | undefined
  outcomes: Outcomes
  /** Where clients acknowledge. */
  window: AckWindow | undefined
  offlinePolicy: OfflinePolicy
}

/** What a delivery waits for after a step; left out for the peers. */
const CAUSES: Partial<Record<Step, Delivery['waitsFor']>> = { wait: 'room', hold: 'hold', 'give-up': 'dead-letters' }

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
   * @param peers what is known of the peers
   */
  place (delivery: Delivery, peers = this.#peersOf(delivery)): void {
    try {
      delivery.waitsFor = undefined
      if (this.#isHandedOutFromHold(delivery)) this.#settleAsHeld(delivery)
      else this.#decide(delivery, peers)
    } catch (error) {
      this.#parts.outcomes.fail(delivery, error)
    }
  }

  #decide (delivery: Delivery, peers: Situation['peers']): void {
    const { inFlight, outcomes } = this.#parts
    const situation = this.#situation(delivery, peers)
    if (asksPeers(situation)) outcomes.peers?.deliver(delivery, situation.isHere)
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
    this.place(delivery, this.isHere(delivery.userId) ? undefined : 'nobody')
  }

  /**
   * Waits no longer for the clients of a user: the delivery goes into the hold, or follows the option `offline`. A live one is
   * offline. For a guest, the instance that has asked decides.
   */
  stopWaiting (delivery: Delivery): void {
    if (delivery.isGone) { // its source hands it over again
      if (delivery.holders.length === 0) this.#parts.outcomes.abandon(delivery)
      return
    }
    const isGuest = delivery.kind === 'guest'
    const isRefused = isGuest || delivery.members !== undefined
    if (this.#parts.hold !== undefined && !isRefused) return this.#take('hold', delivery) // connections that have it may still acknowledge it
    this.#parts.inFlight.takeBack(delivery)
    this.#parts.mailboxes.get(delivery.userId)?.stopWaitingForRoom(delivery)
    delivery.checkDeadline()
    this.#take(isRefused ? 'refuse' : 'give-up', delivery)
  }

  /** The same for several. What waits for room behind them is handed over. */
  stopWaitingAll (deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) this.stopWaiting(delivery)
    for (const userId of new Set(deliveries.map(({ userId }) => userId))) this.offerWaiting(userId)
  }

  /** Hands over what waits for room, the oldest first, for as long as there is room at the user's connections. */
  offerWaiting (userId: string): void {
    const { mailboxes, outcomes } = this.#parts
    const mailbox = mailboxes.get(userId)
    if (mailbox === undefined) return
    mailbox.holdTransit?.touch()
    for (let oldest = mailbox.firstWaitingForRoom; oldest !== undefined; oldest = mailbox.firstWaitingForRoom) {
      if (oldest.origin?.isMoved === true) outcomes.abandon(oldest)
      else if (oldest.members?.of(userId).length === 0) this.place(oldest) // its user has left the group
      else if (!oldest.isSettled && !this.#offer(oldest)) return
      mailbox.stopWaitingForRoom(oldest)
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
    const { mailboxes, hold, window } = this.#parts
    const { kind, userId, origin, isGone, members } = delivery
    const mailbox = mailboxes.get(userId)
    const isHere = members === undefined ? this.isHere(userId) : members.of(userId).length > 0
    return {
      kind,
      isHere,
      isFull: false,
      isOverShare: window !== undefined && !delivery.isInWindow && origin?.redelivers === true && this.#isOverShare(window, delivery, isHere),
      isBehind: mailbox !== undefined && ((mailbox.holdTransit !== undefined && members === undefined && !(isHere && mailbox.holdTransit.isFailing && mailbox.holdTransit.adding.size === 0)) || (isHere && mailbox.waitingForRoom !== undefined)),
      peers,
      redelivers: origin?.redelivers ?? false,
      isGone,
      isClosing: this.isClosing,
      hasHold: hold !== undefined
    }
  }

  #isOverShare (window: AckWindow, { userId, members }: Delivery, isHere: boolean): boolean {
    // A live one has no place in the order of what is held: its user need not get it later.
    const isHeld = this.#parts.hold !== undefined && members === undefined
    if (!window.isUsedUpBy(userId, isHeld)) return false
    // What is held would come before the relays that no peer has taken yet.
    return isHere || !isHeld || (this.#parts.outcomes.peers?.unanswered(userId).length ?? 0) === 0
  }

  #peersOf (delivery: Delivery): Situation['peers'] {
    if (this.#parts.outcomes.peers === undefined || delivery.members !== undefined) return 'none'
    return delivery.relay === undefined ? 'unasked' : 'asked'
  }

  #take (step: Step, delivery: Delivery): void {
    const { mailboxes, hold, window, outcomes } = this.#parts
    if (step === 'refuse') return outcomes.settle(delivery, 'offline')
    if (step === 'abandon') return outcomes.abandon(delivery)
    if (step === 'leave') return outcomes.forget(delivery)
    const mailbox = mailboxes.open(delivery.userId)
    // A connection may have it still: see `stopWaiting`.
    if (mailbox.inFlight.get(delivery.id) !== delivery) mailbox.pending.set(delivery.id, delivery)
    delivery.waitFor(CAUSES[step])
    if (delivery.isGivenUp) window?.delete(delivery)
    else window?.add(delivery)
    if (step === 'wait') mailbox.waitForRoom(delivery)
    else if (step === 'hold') hold!.keep(mailbox, delivery)
    else if (step === 'give-up') this.#giveUp(delivery)
  }

  #giveUp (delivery: Delivery): void {
    const { outcomes, offlinePolicy } = this.#parts
    const { notification, origin } = delivery
    const result = offlinePolicy(notification, origin!)
    if (!(result instanceof Promise)) return outcomes.settle(delivery, result.outcome)
    result.then(({ outcome }) => { if (!delivery.isSettled) outcomes.settle(delivery, outcome) }, (error: unknown) => {
      if (delivery.isSettled) return // a client has acknowledged it meanwhile
      // Another message has joined the delivery meanwhile, and must not be lost with this one.
      if (delivery.origin !== origin) this.#giveUp(delivery)
      else outcomes.fail(delivery, error)
    })
  }
}
