import { appendTo, lowerBound } from '../lists.js'
import type { Ask, Relay } from './relay.js'

const NONE: readonly Relay[] = []

/** The relays that a peer may be asked for, by number and by user. */
export class OpenRelays {
  readonly #byId = new Map<number, Relay>()
  /** In the order of their numbers. */
  readonly #byUser = new Map<string, Relay[]>()

  get (id: number | undefined): Relay | undefined {
    return id === undefined ? undefined : this.#byId.get(id)
  }

  /** A user's relays, the oldest first. */
  of (userId: string): readonly Relay[] {
    return this.#byUser.get(userId) ?? []
  }

  add (relay: Relay): void {
    const { userId } = relay.delivery
    this.#byId.set(relay.id, relay)
    appendTo(this.#byUser, userId, relay)
  }

  delete (relay: Relay): void {
    if (!this.#byId.delete(relay.id)) return
    const { userId } = relay.delivery
    const others = this.#byUser.get(userId)!
    if (others.length === 1) this.#byUser.delete(userId)
    else others.splice(indexOf(others, relay.id), 1)
  }

  /** A user's relays before one that a peer is asked for, that no client has and that the peer is not asked for, the newest first. */
  leftBefore ({ relay, peer }: Ask): readonly Relay[] {
    const relays = this.of(relay.delivery.userId)
    let left: Relay[] | undefined
    for (let i = indexOf(relays, relay.id) - 1; i >= 0; i--) { // for each relay: a generator would take longer
      const older = relays[i]!
      if (older.askOf(peer.instance) !== undefined) break // the rest was looked for when the peer was asked for that one
      if (older.isWithoutClient) (left ??= []).push(older)
    }
    return left ?? NONE
  }

  /**
   * The user's previous relay to the same peer that has no answer; undefined if there is none. A peer answers in order. So
   * what is older than an answered relay is not looked at: a user may have thousands that await acks. Nothing waits for
   * what is over: a peer that refuses that gets it later, marked as redelivered.
   */
  previous ({ relay, peer }: Ask): Ask | undefined {
    const relays = this.of(relay.delivery.userId)
    for (let i = indexOf(relays, relay.id) - 1; i >= 0; i--) {
      const other = relays[i]!
      if (other.isOver) continue
      const ask = other.askOf(peer.instance)
      if (ask?.isTaken === true) return undefined
      if (ask !== undefined && ask.state !== 'queued') return ask
    }
    return undefined
  }

  [Symbol.iterator] (): IterableIterator<Relay> {
    return this.#byId.values()
  }
}

/** A user may have thousands: binary search. */
function indexOf (relays: readonly Relay[], id: number): number {
  return lowerBound(relays, relay => relay.id < id)
}
