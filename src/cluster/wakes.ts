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

/** Is called when the peers are told, or when nobody waits for that any more. */
type Told = () => void

/**
 * Tells the peers that have a user that the hold has something new of that user. If no peer is known to have the user, all
 * are told: one may have welcomed a connection of which this instance does not know yet, or never will, as it is closing.
 *
 * Relays may overtake what is sent to all. So a peer that announces the user before a marker has come back is told by
 * itself, too. A connection that is welcomed later reads the hold then.
 */
export class Wakes {
  readonly #parts: WakesParts
  /** Users of whom the peers are to be told, and those who wait for that. */
  #users = new Set<string>()
  #untold: Told[] = []
  /** Those who wait for the broker to confirm what was published, by turn. */
  readonly #unconfirmed = new Set<Told[]>()
  /** Users of whom the peers may not have been told, because a frame was lost or came back, and those who wait for that. */
  #lostUsers = new Set<string>()
  #untoldOfLost: Told[] = []
  /** Users for whom a marker is on its way, and those for whom the next one will be. */
  #marked = new Set<string>()
  #unmarked = new Set<string>()

  constructor (parts: WakesParts) {
    this.#parts = parts
  }

  /** @param told is called when the broker has it for the peers; or when it has an alarm, and the peers are told after that */
  add (userId: string, told?: Told): void {
    this.#users.add(userId)
    if (told !== undefined) this.#untold.push(told)
    this.#parts.schedule()
  }

  /** Publishes what this turn has for the peers. */
  flush (): void {
    if (this.#users.size === 0) return
    const users = this.#users
    this.#users = new Set()
    const untold = this.#untold
    this.#untold = []
    for (const userId of users) this.#unmarked.add(userId)
    // Peers that are known to have the user are told before anything newer is relayed to them.
    this.#tell(users, untold)
    this.#requestMarker()
  }

  /**
   * The broker has an alarm, which may last for hours: nobody waits for its end. When it is over, each instance announces
   * its users anew, and looks into the hold for them.
   */
  release (): void {
    for (const untold of [this.#untoldOfLost, ...this.#unconfirmed, this.#untold]) {
      for (const told of untold.splice(0)) told()
    }
  }

  /** A peer announces a user: it is told before anything newer is relayed to it. */
  arrived (userId: string, { instance }: Peer): void {
    if (!this.#marked.has(userId) && !this.#unmarked.has(userId)) return
    this.#parts.publish(instance, JSON.stringify([userId]), published => { if (published !== 'routed') this.#lostUsers.add(userId) })
  }

  /** Tells again what may have been lost. */
  resume (): void {
    if (this.#lostUsers.size === 0) return
    for (const userId of this.#lostUsers) this.add(userId)
    this.#lostUsers = new Set()
    this.#untold = this.#untold.concat(this.#untoldOfLost)
    this.#untoldOfLost = []
  }

  #tell (users: Iterable<string>, untold: Told[]): void {
    const byInstance = new Map<string, string[]>()
    for (const userId of users) {
      const peers = this.#parts.peersOf(userId)
      if (peers.length === 0) appendTo(byInstance, EVERYBODY, userId)
      for (const { instance } of peers) appendTo(byInstance, instance, userId)
    }
    const frames = [...byInstance].flatMap(([to, userIds]) => inParts(userIds, MAX_USERS).map(part => ({ to, userIds: part })))
    const lost: string[] = []
    let unanswered = frames.length
    this.#unconfirmed.add(untold)
    for (const { to, userIds } of frames) {
      this.#parts.publish(to, JSON.stringify(userIds), published => {
        if (published !== 'routed') lost.push(...userIds)
        if (--unanswered === 0) this.#answered(lost, untold)
      })
    }
  }

  /**
   * The broker has answered for every frame of a turn. A peer that had lost its inbox has another one by now, or its users
   * are not known any more.
   */
  #answered (lost: readonly string[], untold: Told[]): void {
    this.#unconfirmed.delete(untold)
    if (lost.length === 0) return untold.forEach(told => told())
    for (const userId of lost) this.#lostUsers.add(userId)
    this.#untoldOfLost = this.#untoldOfLost.concat(untold)
  }

  /** One marker is on its way at a time: while none comes back, no more than the users wait for it. */
  #requestMarker (): void {
    if (this.#marked.size > 0 || this.#unmarked.size === 0) return
    this.#marked = this.#unmarked
    this.#unmarked = new Set()
    this.#parts.afterMarker(() => {
      this.#marked = new Set()
      this.#requestMarker()
    })
  }
}
