// The door to the other instances.
import type { Delivery } from './delivery.js'
import type { Outcome, Result } from './doors.js'

/** The other instances. What they ask and answer arrives at a {@link PeerListener}. */
export interface Peers {
  /** Asks every peer that has the user to deliver a notification. Their answer is {@link PeerListener.peersAnswered} or {@link PeerListener.peerSettled}. */
  deliver (delivery: Delivery): void
  /** Whether the broker has not confirmed yet that it has a delivery for the peers. */
  isAsking (delivery: Delivery): boolean
  /** What of a user peers were asked to take and nobody is known to have, the oldest first. */
  unanswered (userId: string): Delivery[]
  /** The outcome of a delivery is known: peers that have it need not acknowledge it. */
  settled (delivery: Delivery, outcome: Outcome): void
  /** A delivery has failed: nothing more is asked for it. */
  failed (delivery: Delivery): void
  /** Tells whoever has a user that something of theirs is in the hold. */
  wake (userId: string): void
}

/** Is told what peers ask and answer. */
export interface PeerListener {
  /** A peer asks whether somebody here takes a notification. Its outcome is `offline` if nobody does. */
  host (guest: Delivery): Result | Promise<Result>
  /** Every peer that has the user has a delivery, or none has the user. */
  peersAnswered (delivery: Delivery, isElsewhere: boolean): void
  /** A peer tells the outcome of a delivery, with the number of connections that it handed it to. */
  peerSettled (delivery: Delivery, outcome: 'sent' | 'acknowledged' | 'held', connections: number): void
  /** Peers can't be asked any more for a delivery that its source hands over again. */
  abandon (delivery: Delivery): void
  /** Peers can't be asked any more for the delivery of a call. */
  fail (delivery: Delivery, error: unknown): void
  /** Something of a user is in the hold. */
  wake (userId: string): void
}
