import { appendTo, inParts } from '../lists.js'
import { MAX_USERS } from './frames.js'
import type { Peer } from './peer.js'
import { EVERYBODY, type Published } from './wire.js'

export interface WakesParts {
  /** Asks for a call of `flush` at the end of this turn. */
  schedule (): void
  /** Calls back when everything that was announced before this call is known here. */
  afterMarker (callback: () => void): void
  /** The peers that are known to have a user. */
  peersOf (userId: string): readonly Peer[]
  /** @param to the id of a peer, or {@link EVERYBODY} */
  publish (to: string, json: string, done: (published: Published) => void): void
}

/**
 * Tells the peers that have a user that the hold has something new of that user. If none is known to have the user, it
 * tells all: a connection may have been welcomed while the hold was being written, at a peer that is not known any more.
 *
 * What is sent to all may be overtaken by relays. So a peer that announces the user before a marker has come back is told
 * by itself, too. Who connects later reads the hold then.
 */
export class Wakes {
  readonly #parts: WakesParts
  #users = new Set<string>()
  /** Those who wait until the peers are told. */
  #untold: Array<() => void> = []
  /** How many markers each user waits for. */
  readonly #waiting = new Map<string, number>()
  /** Users whose peers may not have been told, because the publish was lost, or came back; and those who wait for that. */
  #again = new Set<string>()
  #untoldAgain: Array<() => void> = []

  constructor (parts: WakesParts) {
    this.#parts = parts
  }

  /** @param told is called when the broker has it for the peers, or has an alarm; then they are told later */
  add (userId: string, told?: () => void): void {
    this.#users.add(userId)
    if (told !== undefined) this.#untold.push(told)
    this.#parts.schedule()
  }

  flush (): void {
    if (this.#users.size === 0) return
    const users = this.#users
    this.#users = new Set()
    const untold = this.#untold
    this.#untold = []
    for (const userId of users) this.#waiting.set(userId, (this.#waiting.get(userId) ?? 0) + 1)
    // Peers that are known to have the user are told before anything newer is relayed to them.
    this.#tell(users, untold)
    this.#parts.afterMarker(() => {
      for (const userId of users) {
        const rest = this.#waiting.get(userId)! - 1
        if (rest > 0) this.#waiting.set(userId, rest)
        else this.#waiting.delete(userId)
      }
    })
  }

  /** The broker has an alarm, which may last for hours: nobody waits for its end. After it, all peers look into the hold. */
  release (): void {
    const untold = [...this.#untold, ...this.#untoldAgain]
    this.#untold = []
    this.#untoldAgain = []
    for (const told of untold) told()
  }

  /** A peer announces a user: it is told before anything newer is relayed to it. */
  arrived (userId: string, { instance }: Peer): void {
    if (!this.#waiting.has(userId)) return
    this.#parts.publish(instance, JSON.stringify([userId]), published => { if (published !== 'routed') this.#again.add(userId) })
  }

  /** Tells again what may have been lost. */
  resume (): void {
    if (this.#again.size === 0) return
    for (const userId of this.#again) this.add(userId)
    this.#again = new Set()
    this.#untold.push(...this.#untoldAgain)
    this.#untoldAgain = []
  }

  #tell (users: Iterable<string>, untold: ReadonlyArray<() => void>): void {
    const byInstance = new Map<string, string[]>()
    for (const userId of users) {
      const peers = this.#parts.peersOf(userId)
      if (peers.length === 0) appendTo(byInstance, EVERYBODY, userId)
      for (const { instance } of peers) appendTo(byInstance, instance, userId)
    }
    const frames = [...byInstance].flatMap(([to, userIds]) => inParts(userIds, MAX_USERS).map(part => ({ to, userIds: part })))
    const lost: string[] = []
    let unanswered = frames.length
    for (const { to, userIds } of frames) {
      this.#parts.publish(to, JSON.stringify(userIds), published => {
        if (published !== 'routed') lost.push(...userIds)
        if (--unanswered === 0) this.#told(lost, untold)
      })
    }
  }

  /** The broker has answered. A peer that had lost its inbox has another one by now, or its users are not known any more. */
  #told (lost: readonly string[], untold: ReadonlyArray<() => void>): void {
    if (lost.length === 0) return untold.forEach(told => told())
    for (const userId of lost) this.#again.add(userId)
    this.#untoldAgain.push(...untold)
  }
}
