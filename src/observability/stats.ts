import type { DeadLetterReason, Observer } from '../delivery/doors.js'

/** Counts of all outcomes since the start of this process. */
export interface StatsSnapshot {
  /** Notifications that a client acknowledged. */
  acknowledged: number
  /** Notifications handed to a socket, for which no ack was expected. */
  sent: number
  /** How many of those were settled by a peer. The peer does not count them. */
  relayed: number
  /** Notifications put in the hold, because no connection could take them. */
  held: number
  /** How many of those were acknowledged or sent later. `acknowledged` or `sent` counts them too. */
  released: number
  /**
   * Notifications that the hold dropped unseen: for lack of room, and because of their age. A notification that never
   * got in, because there was no room, also counts as `offline`, and not as `held`. Notifications that Redis removes
   * when they expire are not counted.
   */
  dropped: { overflow: number, expired: number }
  /** Notifications dropped because their user had no connection. */
  offline: number
  /** Messages put in the dead-letter queue, by reason. */
  deadLettered: Record<DeadLetterReason, number>
  /**
   * With `cluster: true`: broadcasts, disconnects and wakes that did not reach the peers, because the broker accepted
   * no publishes. They were dropped for lack of room, and because of their age.
   */
  unsent: { overflow: number, expired: number }
  /** Outcomes known only after the channel had died. The broker redelivers those messages, and they count again. */
  abandoned: number
}

export type Stats = ReturnType<typeof createStats>

/** Counts every outcome, by reason. */
export function createStats () {
  const counts: StatsSnapshot = {
    acknowledged: 0,
    sent: 0,
    relayed: 0,
    held: 0,
    released: 0,
    dropped: { overflow: 0, expired: 0 },
    offline: 0,
    deadLettered: { 'too-large': 0, 'invalid-utf8': 0, 'invalid-json': 0, 'invalid-message': 0, offline: 0, 'delivery-limit': 0, 'internal-error': 0 },
    unsent: { overflow: 0, expired: 0 },
    abandoned: 0
  }

  const observer: Partial<Observer> = {
    rejected (_origin, reason) {
      counts.deadLettered[reason]++
    },

    settled (_notification, _origin, kind, { outcome }, circumstance) {
      if (kind === 'guest' || circumstance === 'joined') return // counted by the peer that asked, or for the delivery that was joined
      if (kind === 'held') counts.released++
      else if (circumstance === 'relayed') counts.relayed++
      else if (circumstance === 'repeated') return // counted already
      if (outcome === 'dead-lettered') counts.deadLettered.offline++
      else counts[outcome]++
    },

    settledLate () {
      counts.released++
      counts.acknowledged++
    }
  }

  return {
    observer,

    /** An outcome was known only after the channel had died. */
    abandoned (): void {
      counts.abandoned++
    },

    /** The hold dropped notifications unseen. */
    drop (reason: 'overflow' | 'expired', count: number): void {
      counts.dropped[reason] += count
    },

    /** A message for the peers was dropped. */
    countUnsent (reason: 'overflow' | 'expired'): void {
      counts.unsent[reason]++
    },

    snapshot (): StatsSnapshot {
      return { ...counts, dropped: { ...counts.dropped }, unsent: { ...counts.unsent }, deadLettered: { ...counts.deadLettered } }
    }
  }
}
