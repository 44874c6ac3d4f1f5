import type { FastifyBaseLogger } from 'fastify'
import type { OpenRelays } from './open-relays.js'
import type { Peer } from './peer.js'
import { RelayLine, type RelayLineParts } from './relay-line.js'
import type { Ask, Relay } from './relay.js'

export interface RelayLinesParts extends Omit<RelayLineParts, 'previous' | 'askOlder'> {
  relays: Pick<OpenRelays, 'previous' | 'leftBefore'>
  log: FastifyBaseLogger
  /** Asks for a call of `flush` at the end of this turn. */
  schedule (): void
}

/** What the peers are asked to deliver. */
export class RelayLines {
  readonly #parts: RelayLinesParts & RelayLineParts
  readonly #byPeer = new Map<Peer, RelayLine>()

  constructor (parts: RelayLinesParts) {
    const { relays } = parts
    this.#parts = { ...parts, previous: ask => relays.previous(ask), askOlder: ask => this.#askOlder(ask) }
  }

  /** Asks a peer to deliver a relay. A peer that can't be asked counts as one that does not have the user. */
  ask (relay: Relay, peer: Peer): void {
    const { log, now, schedule } = this.#parts
    if (relay.isTooLarge) {
      const { id: notificationId, userId } = relay.delivery
      log.warn({ notificationId, userId, peer: peer.instance }, 'notification too large for another instance')
      return
    }
    const ask: Ask = { relay, peer, attempt: ++relay.attempts, state: 'queued', isAfter: false, isTaken: false, counted: 0, publishedAt: now(), answeredAt: -Infinity, deadline: Infinity }
    relay.ask(ask)
    let line = this.#byPeer.get(peer)
    if (line === undefined) this.#byPeer.set(peer, line = new RelayLine(peer, this.#parts))
    line.add(ask)
    schedule()
  }

  /** Ends one ask. */
  drop (ask: Ask): void {
    const { relay, peer } = ask
    relay.asks = relay.asks.filter(other => other !== ask)
    this.#byPeer.get(peer)?.asks.delete(relay.id)
  }

  /** No answer is needed any more. */
  forget ({ asks }: Relay): void {
    for (const ask of asks) this.#byPeer.get(ask.peer)?.forget(ask)
  }

  /**
   * Publishes what this turn has for the peers.
   * @param before only the relays with smaller numbers
   */
  flush (before = Infinity): void {
    for (const line of this.#byPeer.values()) line.flush(before)
  }

  /** Asks again, the peers that have not answered in time. Forgets those that have left, when they have told everything. */
  repeatOverdue (): void {
    const now = this.#parts.now()
    for (const [peer, line] of this.#byPeer) {
      line.repeatOverdue(now)
      if (peer.hasLeft && line.isEmpty) this.#byPeer.delete(peer)
    }
  }

  /** While nothing can be published: forgets what is not to be sent any more, so that it does not pile up. */
  dropSettled (): void {
    for (const line of this.#byPeer.values()) line.dropSettled()
  }

  /** How many peers have something to answer, or had. */
  get peerCount (): number {
    return this.#byPeer.size
  }

  /**
   * Asks again in a new term: a peer may have ignored what was sent in the former one.
   * @param isNewInbox whether answers may have been lost too
   */
  repeat (isNewInbox: boolean): void {
    for (const line of this.#byPeer.values()) line.repeat(({ isTaken }) => isNewInbox || !isTaken)
  }

  /** A peer has another inbox: what was in the old one is lost. */
  peerMoved (peer: Peer): void {
    this.#byPeer.get(peer)?.repeat(() => true)
    this.#parts.schedule()
  }

  /**
   * The inbox of a peer is gone: ends what it was asked for. A peer that is closing still tells outcomes.
   * @returns the asks that were ended, in the order of the relays' numbers
   */
  peerGone (peer: Peer): Ask[] {
    const line = this.#byPeer.get(peer)
    if (line === undefined) return []
    const { now, receiptTimeout } = this.#parts
    const answeredBefore = now() - receiptTimeout
    const isLost = ({ isTaken, answeredAt }: Ask) => !peer.hasLeft || !isTaken || answeredAt <= answeredBefore
    const lost = [...line.asks.values()].filter(isLost).sort((a, b) => a.relay.id - b.relay.id)
    if (lost.length === line.asks.size) this.#byPeer.delete(peer)
    for (const ask of lost) this.drop(ask)
    return lost
  }

  /** Asks the peer of a relay for the user's older ones that nobody has: it may have refused them, and have the user by now. */
  #askOlder (ask: Ask): void {
    if (ask.relay.isHere) return // then older ones were handed to the same connections
    for (const older of this.#parts.relays.leftBefore(ask)) {
      if (older.isTooLarge) continue
      if (older.isMaybeSeen) older.delivery.redelivered = true
      this.ask(older, ask.peer)
    }
  }
}
