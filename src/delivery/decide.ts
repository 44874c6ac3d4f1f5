import type { Kind } from './doors.js'

/** All that counts for the next step of a delivery. */
export interface Situation {
  readonly kind: Kind
  /** Whether the user has a connection on this instance. */
  readonly isHere: boolean
  /** Whether the connections here were tried, and none had room. */
  readonly isFull: boolean
  /** Whether the user's clients have a full share of the window to acknowledge, so that no more may wait for them. */
  readonly isOverShare: boolean
  /** Whether something older of the user waits, which must not be overtaken. */
  readonly isBehind: boolean
  /**
   * What is known of the other instances: there are none, or they need not be asked; they are to be asked; they were
   * asked; they have answered that nobody there has the user.
   */
  readonly peers: 'none' | 'unasked' | 'asked' | 'nobody'
  /** Whether its source hands it over again when it is not settled. */
  readonly redelivers: boolean
  /** Whether its source will hand it over again for sure: the channel of the delivery is dead. */
  readonly isGone: boolean
  /** Whether the application is closing. */
  readonly isClosing: boolean
  /** Whether what can't be delivered is held. */
  readonly hasHold: boolean
}

/**
 * What happens next to a delivery:
 * - `offer`: hand it to the user's connections here
 * - `wait`: until a connection here has room
 * - `hold`: put it into the hold
 * - `give-up`: follow the option `offline`, that is, drop it or put it into the dead-letter queue
 * - `await-peers`: until the peers have answered
 * - `refuse`: nobody here takes it. A peer that has asked is told
 * - `abandon`: its source hands it over again, so tell whoever waits for it to ask again
 * - `leave`: do nothing, as the application closes and its source hands it over to the next process
 */
export type Step = 'offer' | 'wait' | 'hold' | 'give-up' | 'await-peers' | 'refuse' | 'abandon' | 'leave'

/** Decides the next step of a delivery. The only place that does. */
export function decide ({ kind, isHere, isFull, isOverShare, isBehind, peers, redelivers, isGone, isClosing, hasHold }: Situation): Step {
  const isBusy = isFull || isOverShare || isBehind
  if (isGone && (!isHere || isBusy)) return 'abandon'
  if (isHere && !isBusy) return 'offer'
  if (kind === 'guest' && !isHere) return 'refuse'
  if (!isHere && !isBehind && !isOverShare && kind !== 'live' && (peers === 'unasked' || peers === 'asked')) return 'await-peers'
  // Once the peers have said that nobody has the user, the outcome is certain, also while the application closes.
  if (isClosing && redelivers && peers !== 'nobody') return 'leave'
  if (kind === 'live') return isHere && !isOverShare ? 'wait' : 'refuse'
  if (hasHold) return 'hold'
  return (isHere || isBehind) && !isOverShare ? 'wait' : 'give-up'
}

/** Decides whether the peers are asked to deliver it too. */
export function asksPeers ({ kind, isHere, isGone, isBehind, isOverShare, peers }: Situation): boolean {
  if (kind !== 'own' || peers === 'none' || peers === 'nobody') return false
  if (isGone && !isHere) return false
  // Not behind something that is on its way into the hold: a peer could deliver it first.
  return isHere ? peers === 'unasked' : !isBehind && !isOverShare
}
