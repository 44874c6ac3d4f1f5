import type { PeerListener } from '../delivery/peers.js'
import { errors } from '../errors.js'
import type { OpenRelays } from './open-relays.js'
import type { Relay } from './relay.js'

export interface UnansweredRelaysParts {
  relays: OpenRelays
  /** How long a call may wait for the peers, in milliseconds. */
  publishTimeout: number
  now (): number
  listener: Pick<PeerListener, 'peersAnswered' | 'abandon' | 'fail'>
  /** Asks no peer any more for a relay. */
  close (relay: Relay): void
}

/**
 * Ends the relays for which no answer is awaited any more: their source delivers them again, the peers can't be reached in
 * time, or the application closes.
 */
export class UnansweredRelays {
  readonly #parts: UnansweredRelaysParts

  constructor (parts: UnansweredRelaysParts) {
    this.#parts = parts
  }

  /** Looks for relays that have to end. To be called ten times a second. */
  tick (): void {
    const now = this.#parts.now()
    for (const relay of [...this.#parts.relays]) {
      const { delivery, patience, isOver } = relay
      if (isOver) continue
      if (delivery.isGone) this.abandon(relay)
      else if (patience < now && delivery.origin?.redelivers !== true && relay.isUnconfirmed === (relay.asks.length > 0)) this.#giveUp(relay)
    }
  }

  /** The application closes. */
  close (): void {
    for (const relay of [...this.#parts.relays]) this.end(relay)
  }

  /**
   * The broker will redeliver the message. A peer may have the delivery. Don't wait for its receipt, or other deliveries that
   * join this one never settle. But while the delivery has connections here, the message joins it, and nobody asks the peers
   * again.
   * @returns whether the peers need not be asked any more
   */
  abandon (relay: Relay): boolean {
    const { delivery } = relay
    if (delivery.holders.length > 0 || delivery.isWaiting) return false
    this.#parts.close(relay)
    if (!delivery.isSettled) this.#parts.listener.abandon(delivery)
    return true
  }

  /** The application closes, and no answer can arrive any more. A message returns to its queue. */
  end (relay: Relay): void {
    const { delivery, isOver } = relay
    if (!isOver && delivery.origin?.redelivers !== true) {
      if (delivery.isSentHere) this.#parts.listener.peersAnswered(delivery, true)
      else this.#parts.listener.fail(delivery, new errors.PublishFailed('the other instances', 'the application is closing'))
    }
    this.#parts.close(relay)
  }

  /** The peers can't be reached in time. Settles with what was sent here; otherwise the call of notify() fails. */
  #giveUp (relay: Relay): void {
    const { publishTimeout, listener } = this.#parts
    const { delivery } = relay
    if (delivery.isSentHere) listener.peersAnswered(delivery, true)
    else if (relay.isLeft) listener.fail(delivery, new errors.PublishTimeout('the other instances', publishTimeout))
  }
}
