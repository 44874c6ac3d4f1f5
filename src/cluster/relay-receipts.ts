import type { PeerListener } from '../delivery/peers.js'
import type { Receipt, ReceiptState, SettledItem, SettledState } from './frames.js'
import { Recent } from './recent.js'
import type { Ask, Relay } from './relay.js'

/** Measures how long relays take. */
export interface RelayTimes {
  /** @param milliseconds from the publish of the relay to the receipt */
  receipt (receipt: ReceiptState, milliseconds: number): void
}

export interface RelayReceiptsParts {
  /** Whether clients acknowledge. */
  awaitsAcks: boolean
  /** How long a peer may take to answer, in milliseconds. */
  receiptTimeout: number
  now (): number
  /** Present with the option `metrics`. */
  times?: RelayTimes | undefined
  /** Tells a peer that a relay is settled, so that its clients need not acknowledge it any more. */
  tell (instance: string, settled: SettledItem): void
  listener: Pick<PeerListener, 'peerSettled' | 'peerTook' | 'peerOverdue'>
  /** The broker has a relay for one more peer. */
  confirmed (relay: Relay): void
  /** A peer needs not be asked any more. */
  drop (ask: Ask): void
  /** A peer has no connection that takes a relay. */
  refused (relay: Relay): void
}

/** Takes the receipts of the peers, and tells them what was settled elsewhere. */
export class RelayReceipts {
  readonly #parts: RelayReceiptsParts
  /** Outcomes, for peers that accept late. */
  readonly #outcomes: Recent<SettledState>

  constructor (parts: RelayReceiptsParts) {
    this.#parts = parts
    this.#outcomes = new Recent(2 * parts.receiptTimeout, parts.now())
  }

  /** The outcome of a relay is known. */
  settled ({ id, asks }: Relay, state: SettledState): void {
    const { awaitsAcks, tell } = this.#parts
    if (awaitsAcks) this.#outcomes.set(id, state)
    for (const { isTaken, peer } of asks) if (isTaken) tell(peer.instance, [id, state])
  }

  /**
   * A receipt of a peer.
   * @param relay undefined if it is not known any more
   */
  receive (instance: string, receipt: Receipt, relay: Relay | undefined): void {
    const [id, state] = receipt
    const ask = relay?.askOf(instance)
    // An ask without a deadline was never published: a refusal is of an earlier one.
    if (ask !== undefined && (state !== 'nobody' || ask.deadline !== Infinity)) {
      if (!ask.relay.isOver) return this.#answer(ask, receipt)
      this.#answerLate(ask, state)
    }
    const outcome = this.#outcomes.get(id)
    if (state === 'taken' && outcome !== undefined) this.#parts.tell(instance, [id, outcome])
  }

  /** Forgets old outcomes. To be called now and then. */
  tick (): void {
    this.#outcomes.tick(this.#parts.now())
  }

  /** A receipt for a relay that is over. Only a refusal matters: the peer may be asked again. */
  #answerLate (ask: Ask, state: ReceiptState): void {
    ask.state = 'confirmed'
    ask.isAfter &&= state === 'nobody'
    if (state !== 'nobody') return
    ask.relay.refuse(ask)
    this.#parts.drop(ask)
  }

  #answer (ask: Ask, [, state, connections]: Receipt): void {
    const { times, now, listener, receiptTimeout, confirmed, drop, refused } = this.#parts
    const { relay } = ask
    times?.receipt(state, now() - ask.publishedAt)
    const isFirst = ask.state !== 'confirmed'
    ask.state = 'confirmed'
    if (state === 'nobody') {
      // If the receipt `taken` was lost, the count of connections shows that clients had the notification.
      if (ask.isTaken || connections > 0) relay.delivery.redelivered = true
      relay.refuse(ask)
      drop(ask)
      return refused(relay)
    }
    ask.isAfter = false
    relay.count(ask, connections)
    if (state === 'overdue') {
      drop(ask)
      return relay.isNobodys ? listener.peerOverdue(relay.delivery) : refused(relay)
    }
    if (!ask.isTaken) listener.peerTook(relay.delivery)
    ask.isTaken = true
    ask.answeredAt = now()
    ask.deadline = ask.answeredAt + receiptTimeout
    if (state !== 'taken') {
      drop(ask)
      listener.peerSettled(relay.delivery, state, 0)
    } else if (isFirst) {
      confirmed(relay)
    }
  }
}
