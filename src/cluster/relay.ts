import type { Delivery } from '../delivery/delivery.js'
import { MAX_BODY_BYTES, type RelayedItem, type SettledState } from './frames.js'
import type { Outcome } from '../delivery/doors.js'
import type { Peer } from './peer.js'

/** Maximum bytes of JSON for each UTF-16 code unit of a content: `\u0000` within a string within a frame is `\\u0000`. */
const MAX_GROWTH = 7

/** Far above what a relay has besides its content. */
const MARGIN = 1_048_576

/** One peer is asked to deliver a relay. */
export interface Ask {
  readonly relay: Relay
  readonly peer: Peer
  /** Rises with each ask for the relay, whichever peer is asked. A peer that gets the same one again gives the same answer. */
  readonly attempt: number
  /** `confirmed`: the broker has put it into the peer's inbox. */
  state: 'queued' | 'published' | 'confirmed'
  /** Whether the peer, if it refuses this, may do so only because it has refused an older one. The user may be there by now. */
  isAfter: boolean
  /** Whether the peer has told that connections have it. */
  isTaken: boolean
  /** How many connections of the peer have been counted: a peer may report the same ones several times. */
  counted: number
  /** When it was last published, and when the peer last answered. By the clock of the wire. */
  publishedAt: number
  answeredAt: number
  /** When to publish it again if the peer has not answered. */
  deadline: number
}

const NONE: readonly Ask[] = []

/** A delivery on its way to peers. */
export class Relay {
  /** Of the peers that are asked and have not told an outcome. Mostly there is one: a Map would take more memory than the rest. */
  asks: readonly Ask[] = NONE
  /** The last refusal of each peer that was not asked since. */
  refused: readonly Ask[] = NONE
  /** How many asks there were. */
  attempts = 0
  /** Whether everything that was announced before the delivery was taken is known here. */
  isChecked = false
  /** Whether it waits for a marker that tells so. */
  isChecking = false
  /** Whether the outcome is known, or there will be none. */
  isOver = false
  /**
   * Whether the user's connections on peers get it though it is over: another connection has it. What is held, dropped or
   * delivered again by its source goes another way.
   */
  isSpread = false
  #isTooLarge: boolean | undefined

  constructor (
    readonly id: number,
    readonly delivery: Delivery,
    /** The trace context of the delivery, by the propagator's names. */
    readonly trace: Record<string, string> | undefined,
    /** When a relay fails that no peer was asked for, by the clock of the wire; Infinity for a message of a queue. */
    readonly patience: number
  ) {}

  /** Whether no connection is known to have it, neither here nor on a peer, and it waits for nothing here. */
  get isLeft (): boolean {
    return !this.delivery.isWaiting && !this.isTaken
  }

  /** Whether no connection is known to have it, neither here nor on a peer. It may wait for room here. */
  get isWithoutClient (): boolean {
    const { isWaiting, waitsFor } = this.delivery
    return (!isWaiting || waitsFor === 'room') && !this.isTaken
  }

  /** Whether a connection has it, here or on a peer, or it is over. */
  get isTaken (): boolean {
    const { holders, isSentHere, isSettled } = this.delivery
    if (this.isOver || holders.length > 0 || isSentHere || isSettled) return true
    for (const { isTaken } of this.asks) if (isTaken) return true
    return false
  }

  /** Whether a peer may still refuse it because of an older one. */
  get isRefusable (): boolean {
    for (const { isAfter } of this.asks) if (isAfter) return true
    return false
  }

  /** Whether a connection here has it, or had it. */
  get isHere (): boolean {
    const { holders, isSentHere } = this.delivery
    return this.isSpread || isSentHere || holders.length > 0
  }

  /** Whether no connection is known to have it, and no peer is asked. */
  get isNobodys (): boolean {
    return this.asks.length === 0 && this.isLeft
  }

  /** Whether the broker has not confirmed yet that it has the relay for each peer that is asked. */
  get isUnconfirmed (): boolean {
    for (const { state } of this.asks) if (state !== 'confirmed') return true
    return false
  }

  /** Whether a peer may have received it. */
  get isPublished (): boolean {
    for (const { state } of this.asks) if (state !== 'queued') return true
    return false
  }

  /** Whether a client that connects to a peer now may have seen it elsewhere. */
  get isMaybeSeen (): boolean {
    return this.isSpread || (this.isChecked && this.isPublished)
  }

  /** Whether no frame can take it: it would be larger than what the broker takes. */
  get isTooLarge (): boolean {
    const { text } = this.delivery.notification.payload
    if (text.length * MAX_GROWTH + MARGIN <= MAX_BODY_BYTES) return false
    return (this.#isTooLarge ??= Buffer.byteLength(this.encode(Number.MAX_SAFE_INTEGER, { relay: this, attempt: Number.MAX_SAFE_INTEGER })) + '[]'.length > MAX_BODY_BYTES)
  }

  /** What a peer is asked; undefined if it is not. */
  askOf (instance: string): Ask | undefined {
    return this.asks.find(({ peer }) => peer.instance === instance)
  }

  /** A peer is asked. What it has refused before does not count any more. */
  ask (ask: Ask): void {
    this.asks = [...this.asks, ask]
    if (this.refused.length > 0) this.refused = this.refused.filter(({ peer }) => peer.instance !== ask.peer.instance)
  }

  /** A peer has no connection that takes it. */
  refuse (ask: Ask): void {
    this.refused = [...this.refused.filter(({ peer }) => peer.instance !== ask.peer.instance), ask]
  }

  /** What a peer has refused; undefined if it has not. */
  refusalOf (instance: string): Ask | undefined {
    return this.refused.find(({ peer }) => peer.instance === instance)
  }

  /** Counts the connections of a peer that it has not told before. */
  count (ask: Ask, connections: number): void {
    this.delivery.connections += Math.max(0, connections - ask.counted)
    ask.counted = Math.max(ask.counted, connections)
  }

  /** The item of a frame, as JSON. */
  encode (attempt: number, after: Pick<Ask, 'relay' | 'attempt'> | undefined): string {
    const { userId, id, position, expiresAt, redelivered, notification: { payload: { json } } } = this.delivery
    const item: RelayedItem = { relay: this.id, attempt, userId, id, json, position }
    if (after !== undefined && this.isHere) item.behind = after.relay.id
    else if (after !== undefined) {
      item.after = after.relay.id
      item.afterAttempt = after.attempt
    }
    if (expiresAt !== Infinity) item.expiresAt = expiresAt
    if (redelivered) item.redelivered = true
    if (this.trace !== undefined) item.trace = this.trace
    return JSON.stringify(item)
  }
}

/** The outcome for the peers that have taken the relay: `held` also stands for `offline`. */
export function toSettledState (outcome: Outcome): SettledState {
  return outcome === 'offline' ? 'held' : outcome
}
