import { isGroupEntry } from './entries.js'
import type { Peer } from './peer.js'

/** Maximum users of all peers: whoever has our login could announce any number. */
const MAX_KNOWN_USERS = 5_000_000

const NONE: readonly Peer[] = []

/** Which peers have a user. Groups are entries beside the users. */
export class KnownUsers {
  /** Most users are on one peer: an array for each would take more memory than everything else of the peer table. */
  readonly #peers = new Map<string, Peer | readonly Peer[]>()
  #groupCount = 0

  /** How many users there are, without the groups. */
  get count (): number {
    return this.#peers.size - this.#groupCount
  }

  /** The peers that have a user. */
  of (entry: string): readonly Peer[] {
    const found = this.#peers.get(entry)
    return found === undefined ? NONE : found instanceof Array ? found : [found as Peer]
  }

  /** @returns false if the peer is known to have the user, or if there are too many users */
  add (entry: string, peer: Peer): boolean {
    const found = this.of(entry)
    if (found.includes(peer) || (found.length === 0 && this.#peers.size >= MAX_KNOWN_USERS)) return false
    if (found.length === 0 && isGroupEntry(entry)) this.#groupCount++
    this.#peers.set(entry, found.length === 0 ? peer : [...found, peer])
    peer.userCount++
    return true
  }

  delete (entry: string, peer: Peer): void {
    const found = this.of(entry)
    if (!found.includes(peer)) return
    const rest = found.filter(other => other !== peer)
    if (rest.length === 0 && isGroupEntry(entry)) this.#groupCount--
    if (rest.length === 0) this.#peers.delete(entry)
    else this.#peers.set(entry, rest.length === 1 ? rest[0]! : rest)
    peer.userCount--
  }

  /** Deletes all users of a peer but some. */
  keepOnly (users: ReadonlySet<string>, peer: Peer): void {
    if (peer.userCount === 0) return
    for (const [entry, found] of this.#peers) {
      if ((found === peer || (found instanceof Array && found.includes(peer))) && !users.has(entry)) this.delete(entry, peer)
    }
  }
}
