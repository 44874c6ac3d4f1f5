import type { DeadLetterReason, Observer } from '../delivery/doors.js'

/** What became of everything so far, since the start of this process. */
export interface StatsSnapshot {
  /** Notifications that a client acknowledged. */
  acknowledged: number
  /** Notifications handed to a socket, of which no acknowledgement was expected. */
  sent: number
  /** Of those, how many were settled by another instance; that counts them nowhere. */
  relayed: number
  /** Notifications put in the hold, as nobody could take them then. */
  held: number
  /** Of those, how many were acknowledged or sent later; they are counted there too. */
  released: number
  /**
   * Notifications that the hold dropped unseen: for want of room, and because of their age. One that never got in, as
   * there was no room for it, is `offline` too, and not `held`. What Redis removes when it has expired is in none.
   */
  dropped: { overflow: number, expired: number }
  /** Notifications dropped, as their user had no connection. */
  offline: number
  /** Messages put in the dead-letter queue, by reason. */
  deadLettered: Record<DeadLetterReason, number>
  /**
   * With `cluster: true`: broadcasts, disconnects and wakes that the other instances were not told of, as the broker took
   * no publishes: for want of room, and because of their age.
   */
  unsent: { overflow: number, expired: number }
  /** Outcomes known only after the broker's channel had died: those messages are delivered, and counted, again. */
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

  const observer: Observer = {
    received () {},
    hosted () {},
    failed () {},
    abandoned () {},

    rejected (_origin, reason) {
      counts.deadLettered[reason]++
    },

    settled (_notification, _origin, kind, { outcome }, circumstance) {
      if (kind === 'guest' || circumstance === 'joined') return // the peer that asked counts it, or the delivery that was joined
      if (kind === 'held') counts.released++
      else if (circumstance === 'relayed') counts.relayed++
      else if (circumstance === 'repeated') return // it has been counted
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

    /** The hold dropped some unseen. */
    drop (reason: 'overflow' | 'expired', count: number): void {
      counts.dropped[reason] += count
    },

    /** The other instances are not told of something. */
    countUnsent (reason: 'overflow' | 'expired'): void {
      counts.unsent[reason]++
    },

    snapshot (): StatsSnapshot {
      return { ...counts, dropped: { ...counts.dropped }, unsent: { ...counts.unsent }, deadLettered: { ...counts.deadLettered } }
    }
  }
}
