// The door to the other instances.
import type { Delivery } from './delivery.js'
import type { Origin, Outcome, Result } from './doors.js'
import type { Connected, Summary } from './multicast.js'
import type { Payload } from './payload.js'
import type { Waiting } from './waiting.js'

/** The other instances. What they ask and answer arrives at a {@link PeerListener}. */
export interface Peers {
  /** Whether no peer has welcomed anybody. */
  areNone (): boolean
  /** Whether a peer is known to have a user. */
  have (userId: string): boolean
  /** A delivery was sent here, and is settled. Peers that turn out to have had its user too get it as well. */
  sentHere (delivery: Delivery): void
  /**
   * Asks every peer that has the user to deliver a notification. Their answer is {@link PeerListener.peersAnswered} or
   * {@link PeerListener.peerSettled}.
   * @param isHere whether the user has a connection on this instance
   */
  deliver (delivery: Delivery, isHere: boolean): void
  /** Whether the broker has not confirmed yet that it has a delivery for the peers. */
  isAsking (delivery: Delivery): boolean
  /** What of a user peers were asked to take and nobody is known to have, the oldest first. */
  unanswered (userId: string): Delivery[]
  /** The outcome of a delivery is known: peers that have it need not acknowledge it. */
  settled (delivery: Delivery, outcome: Outcome): void
  /** A delivery has failed: nothing more is asked for it. */
  failed (delivery: Delivery): void
  /**
   * Tells whoever has a user that something of theirs is in the hold.
   * @param told is called when the broker has it for the peers; or at once while it has an alarm, and the peers are told after that
   */
  wake (userId: string, told?: () => void): void
}

/** What becomes of a delivery at a peer. `dead-lettered`: the clients there could not handle it. */
export type PeerOutcome = Exclude<Outcome, 'offline'>

/** The other instances, for a message that is for a group or for everybody. */
export interface MulticastPeers {
  /**
   * Asks the peers to deliver to those who are connected to them.
   * @returns undefined if there are no peers
   */
  deliver (audience: Connected, payload: Payload, origin: Origin): MulticastElsewhere | undefined

  /** What waits for the answers of peers. */
  waiting (): Iterable<Waiting>
}

/** A message to many on its way to the peers. */
export interface MulticastElsewhere {
  /** What became of it there. */
  readonly result: Promise<Summary>
  /** Whether one of them has it, and has not told what became of it. */
  readonly isWithPeers: boolean
  /** Waits no more for the clients there that have it. Their users count as offline. May be called again. */
  stop (): void
}

/** Is told what peers ask and answer. */
export interface PeerListener {
  /** Whether a user has a connection here. */
  isHere (userId: string): boolean
  /** A peer asks whether somebody here takes a notification. Its outcome is `offline` if nobody does. */
  host (guest: Delivery): Result | Promise<Result>
  /** Every peer that has the user has a delivery, or none has the user. */
  peersAnswered (delivery: Delivery, isElsewhere: boolean): void
  /** A peer that was asked has no connection that takes a delivery, or another one has the user now: decides again. */
  reconsider (delivery: Delivery): void
  /** Clients of a peer have a delivery, or it waits for room at them. */
  peerTook (delivery: Delivery): void
  /** Clients of a peer have not acknowledged a delivery in time, and nobody else has it. */
  peerOverdue (delivery: Delivery): void
  /** A peer waits no more for the clients here that have its messages to many. */
  stop (payloads: ReadonlySet<Payload>): void
  /** A peer tells the outcome of a delivery, with the number of connections that it handed it to. */
  peerSettled (delivery: Delivery, outcome: PeerOutcome, connections: number): void
  /** Peers can't be asked any more for a delivery that its source hands over again. */
  abandon (delivery: Delivery): void
  /** Peers can't be asked any more for the delivery of a call. */
  fail (delivery: Delivery, error: unknown): void
  /** Something of a user is in the hold. */
  wake (userId: string): void
}
