import type { PeerListener } from '../delivery/peers.js'
import type { OpenRelays } from './open-relays.js'
import type { Relay } from './relay.js'
import { excessOf } from './spread.js'

/**
 * How old it may be what was sent here and peers get later, in milliseconds. After a longer outage, clients that have moved
 * to a peer would get it once more.
 */
const MAX_AGE = 5_000

export interface AbsenceChecksParts {
  relays: OpenRelays
  /** Calls back when everything that was announced before this call is known here. */
  afterMarker (callback: () => void): void
  /** Takes out a relay that is over: a peer that announces its user from now on is not asked for it. */
  retire (relay: Relay): void
  /** Asks for a call of `flush` at the end of this turn. */
  schedule (): void
  listener: Pick<PeerListener, 'peersAnswered' | 'reconsider'>
}

/** Finds out of which deliveries nobody has the user. One marker checks all of a turn. */
export class AbsenceChecks {
  readonly #parts: AbsenceChecksParts
  #next: Relay[] = []

  constructor (parts: AbsenceChecksParts) {
    this.#parts = parts
  }

  /** Checks a relay, unless a check is under way. */
  add (relay: Relay): void {
    if (relay.isChecking) return
    relay.isChecking = true
    relay.isChecked = false
    this.#next.push(relay)
    this.#parts.schedule()
  }

  flush (): void {
    if (this.#next.length === 0) return
    const relays = this.#next
    this.#next = []
    for (const { delivery } of relays) delivery.isRetaken = false
    this.#parts.afterMarker(() => this.#end(relays))
  }

  /** While no marker can be published: forgets what is over, except for the newest, which connections on peers may still lack. */
  dropSettled (): void {
    const excess = excessOf(this.#next)
    const since = (Date.now() - MAX_AGE) * 1_000
    this.#next = this.#next.filter(relay => {
      const isDropped = excess.has(relay) || (relay.isOver && relay.delivery.position < since)
      if (isDropped) this.#parts.relays.delete(relay)
      return !isDropped
    })
  }

  /** All connections are known now that were welcomed before the deliveries were taken. */
  #end (checked: readonly Relay[]): void {
    const { retire, listener } = this.#parts
    const absent = new Set<string>()
    for (const relay of checked) {
      relay.isChecking = false
      relay.isChecked = true
      if (relay.isOver) retire(relay)
      else if (relay.delivery.isRetaken) this.add(relay) // somebody may have been welcomed between the marker and that
      else if (relay.isNobodys) {
        absent.add(relay.delivery.userId)
        listener.peersAnswered(relay.delivery, false)
      }
    }
    for (const userId of absent) this.#reconsiderOthers(userId)
  }

  /** Something of a user may be on its way into the hold now. What was taken later must come behind it. */
  #reconsiderOthers (userId: string): void {
    const { relays, listener } = this.#parts
    for (const relay of [...relays.of(userId)]) if (relay.isChecking && relay.isNobodys) listener.reconsider(relay.delivery)
  }
}
