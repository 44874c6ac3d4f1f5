import { appendTo, inParts } from '../lists.js'
import { MAX_USERS } from './frames.js'
import type { Peer } from './peer.js'
import type { Published } from './wire.js'

export interface WakesParts {
  /** Asks for a call of `flush` at the end of this turn. */
  schedule (): void
  /** Calls back when everything that was announced before this call is known here. */
  afterMarker (callback: () => void): void
  peersOf (userId: string): readonly Peer[]
  publish (instance: string, json: string, done: (published: Published) => void): void
}

/**
 * Tells the peers that have a user that the hold has something new of that user. A user may have connected to a peer
 * while the hold was being written. So peers that announce the user before a marker has come back are told too.
 */
export class Wakes {
  readonly #parts: WakesParts
  #users = new Set<string>()
  /** How many markers each user waits for. */
  readonly #waiting = new Map<string, number>()
  /** Users whose peers may not have been told, because the publish was lost, or came back. */
  #again = new Set<string>()

  constructor (parts: WakesParts) {
    this.#parts = parts
  }

  add (userId: string): void {
    this.#users.add(userId)
    this.#parts.schedule()
  }

  flush (): void {
    if (this.#users.size === 0) return
    const users = this.#users
    this.#users = new Set()
    for (const userId of users) this.#waiting.set(userId, (this.#waiting.get(userId) ?? 0) + 1)
    // Peers that are known to have the user are told before anything newer is relayed to them.
    this.#tell(users)
    this.#parts.afterMarker(() => {
      for (const userId of users) {
        const rest = this.#waiting.get(userId)! - 1
        if (rest > 0) this.#waiting.set(userId, rest)
        else this.#waiting.delete(userId)
      }
    })
  }

  /** A peer announces a user: it is told before anything newer is relayed to it. */
  arrived (userId: string, { instance }: Peer): void {
    if (this.#waiting.has(userId)) this.#publish(instance, [userId])
  }

  /** Tells again what may have been lost. */
  resume (): void {
    if (this.#again.size === 0) return
    for (const userId of this.#again) this.add(userId)
    this.#again = new Set()
  }

  #tell (users: Iterable<string>): void {
    const byInstance = new Map<string, string[]>()
    for (const userId of users) {
      for (const { instance } of this.#parts.peersOf(userId)) appendTo(byInstance, instance, userId)
    }
    for (const [instance, userIds] of byInstance) this.#publish(instance, userIds)
  }

  #publish (instance: string, userIds: readonly string[]): void {
    for (const part of inParts(userIds, MAX_USERS)) {
      this.#parts.publish(instance, JSON.stringify(part), published => {
        // A peer that had lost its inbox has another one by now, or its users are not known any more.
        if (published !== 'routed') for (const userId of part) this.#again.add(userId)
      })
    }
  }
}
