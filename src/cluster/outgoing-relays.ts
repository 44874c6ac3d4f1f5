import type { Delivery } from '../delivery/delivery.js'
import type { Origin, Outcome } from '../delivery/doors.js'
import type { PeerListener } from '../delivery/peers.js'
import { AbsenceChecks, type AbsenceChecksParts } from './absence-checks.js'
import type { Receipt } from './frames.js'
import type { Peer } from './peer.js'
import { OpenRelays } from './open-relays.js'
import { RefusableRelays } from './refusable-relays.js'
import { RelayLines, type RelayLinesParts } from './relay-lines.js'
import { RelayReceipts, type RelayReceiptsParts } from './relay-receipts.js'
import { Relay, toSettledState } from './relay.js'
import { UnansweredRelays, type UnansweredRelaysParts } from './unanswered-relays.js'

export interface OutgoingRelaysParts extends
  Pick<AbsenceChecksParts, 'afterMarker'>,
  Pick<RelayLinesParts, 'log' | 'receiptTimeout' | 'now' | 'publish' | 'returned' | 'schedule'>,
  Pick<RelayReceiptsParts, 'awaitsAcks' | 'times' | 'tell'>,
  Pick<UnansweredRelaysParts, 'publishTimeout'> {
  /** The next number of what peers are asked for. */
  number (): number
  /** Whether no peer has welcomed anybody. */
  isAlone (): boolean
  /** The peers that have a user. */
  peersOf (userId: string): readonly Peer[]
  listener: Pick<PeerListener, 'peersAnswered' | 'peerSettled' | 'peerTook' | 'peerOverdue' | 'reconsider' | 'abandon' | 'fail'>
  /** The trace context of a delivery, for the peer that continues it. */
  traceOf (origin: Origin | undefined): Record<string, string> | undefined
}

/**
 * What this instance has taken from the queue, or from calls, and peers may have the users of. Each peer that has the
 * user is asked. "Nobody has this user" is said only when no peer has a connection that was welcomed before the delivery
 * was taken.
 */
export class OutgoingRelays {
  readonly #parts: OutgoingRelaysParts
  readonly #relays = new OpenRelays()
  readonly #refusable: RefusableRelays
  readonly #lines: RelayLines
  readonly #checks: AbsenceChecks
  readonly #receipts: RelayReceipts
  readonly #unanswered: UnansweredRelays
  #isClosed = false

  constructor (parts: OutgoingRelaysParts) {
    this.#parts = parts
    this.#refusable = new RefusableRelays(2 * parts.receiptTimeout)
    this.#checks = new AbsenceChecks({ ...parts, relays: this.#relays, retire: relay => this.#retire(relay) })
    this.#receipts = new RelayReceipts({
      ...parts,
      confirmed: relay => this.#confirmed(relay),
      drop: ask => this.#lines.drop(ask),
      refused: relay => this.#reconsider(relay)
    })
    // A peer may have what this instance gives up. If that peer takes the message next, it asks no others. So this instance still asks those that announce the user.
    this.#unanswered = new UnansweredRelays({ ...parts, relays: this.#relays, close: relay => this.#close(relay, relay.isPublished) })
    this.#lines = new RelayLines({
      ...parts,
      relays: this.#relays,
      isGone: ({ relay }) => relay.delivery.isGone && !relay.isOver && this.#unanswered.abandon(relay),
      confirmed: ({ relay }) => this.#confirmed(relay)
    })
  }

  /**
   * Asks every peer that has the user of a delivery.
   * @param isHere whether the user has a connection here
   */
  deliver (delivery: Delivery, isHere: boolean): void {
    let relay = this.#relayOf(delivery)
    if (isHere && relay === undefined && this.#parts.isAlone()) return
    if (relay === undefined) relay = this.#open(delivery)
    else if (relay.asks.length > 0) return
    for (const peer of this.#parts.peersOf(delivery.userId)) this.#lines.ask(relay, peer)
    this.#checks.add(relay)
    if (this.#isClosed) queueMicrotask(() => this.#unanswered.end(relay)) // later, as the caller does not wait for it yet
  }

  /** A delivery was sent here, and is settled: peers that announce its user before the check get it too. */
  sentHere (delivery: Delivery): void {
    if (this.#isClosed) return
    const relay = this.#open(delivery)
    delivery.origin = undefined
    relay.isOver = relay.isSpread = true
    this.#checks.add(relay)
  }

  /** Whether the broker has not confirmed yet that it has a delivery for the peers. */
  isAsking (delivery: Delivery): boolean {
    return this.#relayOf(delivery)?.isUnconfirmed === true
  }

  /** A user's deliveries that no connection is known to have, the oldest first. */
  unanswered (userId: string): Delivery[] {
    return this.#relays.of(userId).filter(({ isLeft }) => isLeft).map(({ delivery }) => delivery)
  }

  /** The outcome of a delivery is known. */
  settled (delivery: Delivery, outcome: Outcome): void {
    const relay = this.#relayOf(delivery)
    if (relay === undefined) return
    this.#receipts.settled(relay, toSettledState(outcome))
    delivery.origin = undefined // a relay waits for the marker, and needs not keep the body of the message
    this.#close(relay, outcome === 'sent' || outcome === 'acknowledged')
  }

  /** A delivery has failed, and its caller has been told. */
  failed (delivery: Delivery): void {
    const relay = this.#relayOf(delivery)
    if (relay !== undefined) this.#close(relay, false)
  }

  /** A peer announces a user: it is asked for what it may be the first to have. */
  arrived (userId: string, peer: Peer): void {
    for (const relay of [...this.#relays.of(userId)]) {
      if (relay.askOf(peer.instance) !== undefined || relay.delivery.isGivenUp || (relay.isChecked && !relay.isLeft)) continue
      if (relay.isNobodys) {
        this.#parts.listener.reconsider(relay.delivery)
        continue
      }
      // A peer that has refused what a connection has may have got newer ones since then.
      const refusal = relay.isTaken ? relay.refusalOf(peer.instance) : undefined
      if (refusal?.isAfter === false) continue // nobody was there: the user has connected after the delivery was taken
      if (relay.isMaybeSeen || refusal !== undefined) relay.delivery.redelivered = true
      this.#lines.ask(relay, peer)
    }
  }

  /** A receipt of a peer. */
  receipt (instance: string, receipt: Receipt): void {
    const [id] = receipt
    const relay = this.#relays.get(id) ?? this.#refusable.get(id)
    this.#receipts.receive(instance, receipt, relay)
    if (relay === undefined) return
    if (relay.isOver) this.#lines.forget(relay)
    this.#askAgain(relay)
    if (!relay.isRefusable) this.#refusable.delete(relay)
  }

  /** The inbox of a peer is gone: what it was asked for is decided again. */
  peerGone (peer: Peer): void {
    const asks = this.#lines.peerGone(peer)
    for (const { isTaken, relay } of asks) if (isTaken) relay.delivery.redelivered = true
    for (const { relay } of asks) this.#reconsider(relay)
  }

  /** A peer has another inbox: asks for everything again that it has not answered. */
  peerMoved (peer: Peer): void {
    this.#lines.peerMoved(peer)
  }

  /**
   * Frames can be published again.
   * @param isNewInbox whether receipts may have been lost
   */
  resume (isNewInbox: boolean): void {
    this.#lines.repeat(isNewInbox)
    this.#parts.schedule()
  }

  /**
   * Publishes what this turn has for the peers.
   * @param before only the relays with smaller numbers
   */
  flush (before?: number): void {
    this.#lines.flush(before)
    if (before === undefined) this.#checks.flush()
  }

  /**
   * Looks for what has no answer. To be called ten times a second.
   * @param isOpen whether frames can be published
   */
  tick (isOpen: boolean): void {
    this.#receipts.tick()
    this.#refusable.tick(this.#parts.now())
    for (const relay of this.#relays) this.#askAgain(relay) // by now a connection here may have it
    if (!isOpen) for (const waiting of [this.#checks, this.#lines]) waiting.dropSettled()
    this.#unanswered.tick() // first: what is repeated waits for the broker again
    this.#lines.repeatOverdue()
    this.#parts.schedule()
  }

  close (): void {
    this.#isClosed = true
    this.#unanswered.close()
  }

  #relayOf ({ relay }: Delivery): Relay | undefined {
    const found = this.#relays.get(relay)
    return found?.isOver === true ? undefined : found
  }

  #open (delivery: Delivery): Relay {
    const { publishTimeout, now, number, traceOf } = this.#parts
    const id = delivery.relay = number()
    const relay = new Relay(id, delivery, traceOf(delivery.origin), delivery.origin?.redelivers === true ? Infinity : now() + publishTimeout)
    this.#relays.add(relay)
    return relay
  }

  /** The broker has a relay for one more peer. */
  #confirmed ({ delivery, isUnconfirmed, isOver }: Relay): void {
    if (delivery.isSentHere && !isUnconfirmed && !isOver) this.#parts.listener.peersAnswered(delivery, true)
  }

  /** One peer less has it. If nobody is left, it is decided again. */
  #reconsider (relay: Relay): void {
    if (relay.isOver) return
    this.#confirmed(relay)
    relay.delivery.isTakenElsewhere = relay.asks.some(({ isTaken }) => isTaken)
    if (!relay.isNobodys) return
    if (relay.delivery.isGone) this.#unanswered.abandon(relay)
    else this.#parts.listener.reconsider(relay.delivery)
  }

  /**
   * When a connection has a relay: asks each peer again that has the user, and may have refused the relay only because it had
   * refused an older one.
   */
  #askAgain (relay: Relay): void {
    const { delivery, refused, isTaken } = relay
    if (refused.length === 0 || this.#isClosed) return
    const peers = this.#parts.peersOf(delivery.userId)
    for (const refusal of refused) {
      const peer = peers.find(({ instance }) => instance === refusal.peer.instance)
      if (peer === undefined) refusal.isAfter = false // who connects there from now on was not there when it was taken
      if (!refusal.isAfter || !isTaken || delivery.isGivenUp) continue
      delivery.redelivered = true
      this.#lines.ask(relay, peer!)
    }
  }

  /** Peers that announce the user before the check get a relay that is spread. */
  #close (relay: Relay, isSpread: boolean): void {
    relay.isOver = true
    relay.isSpread = isSpread
    this.#lines.forget(relay)
    if (isSpread) this.#askAgain(relay)
    if (relay.isChecked || !isSpread) this.#retire(relay)
  }

  /** Takes out a relay that is over: a peer that announces its user from now on is not asked for it. */
  #retire (relay: Relay): void {
    this.#relays.delete(relay)
    if (relay.isSpread && relay.isRefusable) this.#refusable.add(relay, this.#parts.now())
  }
}
