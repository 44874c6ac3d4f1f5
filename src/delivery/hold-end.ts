import type { Delivery } from './delivery.js'
import type { InFlight } from './in-flight.js'
import type { Outcomes } from './outcomes.js'

/** `held`: the hold keeps a delivery. `known`: it had its id already. `offline`: it had no room. */
export type HoldAnswer = 'held' | 'known' | 'offline'

export interface HoldEndParts {
  inFlight: InFlight
  outcomes: Outcomes
  /** Removes a notification from the hold. */
  remove (userId: string, id: string): void
}

/**
 * Ends a delivery that the hold has answered, and tells the peers what is held: by now the user may have a connection there,
 * and those here may be full, or gone without a word. A message is settled only when the peers are told. Else, if this
 * process died in between, the notification would stay in the hold until the user connects again.
 */
export function endKept (delivery: Delivery, answer: HoldAnswer, parts: HoldEndParts): void {
  const { inFlight, outcomes: { peers } } = parts
  // What was settled meanwhile does not stay in the hold: a peer that looked there would hand it out once more.
  if (answer === 'offline' || delivery.isSettled) return settle(delivery, answer, parts)
  inFlight.moveToHold(delivery)
  const isMessage = delivery.origin?.redelivers === true
  if (peers !== undefined && isMessage) return peers.wake(delivery.userId, () => settle(delivery, answer, parts))
  settle(delivery, answer, parts)
  peers?.wake(delivery.userId)
}

function settle (delivery: Delivery, answer: HoldAnswer, { inFlight, outcomes, remove }: HoldEndParts): void {
  const { userId, id } = delivery
  if (!delivery.isSettled) {
    if (answer === 'known') delivery.circumstance = 'repeated'
    if (answer === 'offline') inFlight.takeBack(delivery)
    outcomes.settle(delivery, answer === 'known' ? 'held' : answer)
  } else if (delivery.outcome !== 'held') {
    // A client of a peer has it meanwhile. If that peer has put it into the same hold, it is the only one there.
    remove(userId, id)
  }
}
