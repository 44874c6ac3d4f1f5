import type { Peers } from '../delivery/peers.js'
import type { OutgoingRelays } from './outgoing-relays.js'
import type { Presence } from './presence.js'
import type { Wakes } from './wakes.js'

/** What the delivery needs of the peers. */
export function createPeers (presence: Pick<Presence, 'isAlone' | 'of'>, outgoing: OutgoingRelays, wakes: Pick<Wakes, 'add'>): Peers {
  return {
    areNone: () => presence.isAlone(),
    have: userId => presence.of(userId).length > 0,
    sentHere: delivery => outgoing.sentHere(delivery),
    deliver: (delivery, isHere) => outgoing.deliver(delivery, isHere),
    isAsking: delivery => outgoing.isAsking(delivery),
    unanswered: userId => outgoing.unanswered(userId),
    settled: (delivery, outcome) => outgoing.settled(delivery, outcome),
    failed: delivery => outgoing.failed(delivery),
    wake: (userId, told) => wakes.add(userId, told)
  }
}
