import type { PeerListener } from '../delivery/peers.js'
import type { OpenRelays } from './open-relays.js'
import type { Relay } from './relay.js'
import { excessOf } from './spread.js'

export interface AbsenceChecksParts {
  relays: OpenRelays
  /** Calls back when everything that was announced before this call is known here. */
  afterMarker (callback: () => void): void
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

  /** Checks a relay. If a check is under way, that one does not count: who was welcomed since then does. */
  add (relay: Relay): void {
    relay.isChecked = false
    relay.isOutdated = relay.isChecking
    if (relay.isChecking) return
    relay.isChecking = true
    this.#next.push(relay)
    this.#parts.schedule()
  }

  flush (): void {
    if (this.#next.length === 0) return
    const relays = this.#next
    this.#next = []
    this.#parts.afterMarker(() => this.#end(relays))
  }

  /** While no marker can be published: forgets what is over, except for the newest that peers may have users for. */
  dropSettled (): void {
    const excess = excessOf(this.#next)
    for (const relay of excess) this.#parts.relays.delete(relay)
    this.#next = this.#next.filter(relay => !excess.has(relay))
  }

  /** All connections are known now that were welcomed before the deliveries were taken. */
  #end (checked: readonly Relay[]): void {
    const { relays, listener } = this.#parts
    const absent = new Set<string>()
    for (const relay of checked) {
      relay.isChecking = false
      relay.isChecked = !relay.isOutdated
      if (relay.isOver) relays.delete(relay)
      else if (relay.isOutdated) this.add(relay)
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
