import type { DeadLetterReason } from './dead-letters.js'

/** What became of everything so far, since the start of this process. */
export interface StatsSnapshot {
  /** Notifications handed to a socket. */
  sent: number
  /** Notifications dropped, as their user had no connection. */
  offline: number
  /** Messages put in the dead-letter queue, by reason. */
  deadLettered: Record<DeadLetterReason, number>
  /** Outcomes known only after the broker's channel had died: those messages are delivered, and counted, again. */
  abandoned: number
}

export type Stats = ReturnType<typeof createStats>

/** Counts every outcome, by reason. */
export function createStats () {
  const counts: StatsSnapshot = {
    sent: 0,
    offline: 0,
    deadLettered: { 'too-large': 0, 'invalid-utf8': 0, 'invalid-json': 0, 'invalid-message': 0, offline: 0 },
    abandoned: 0
  }

  return {
    count (...[outcome, reason]: ['sent' | 'offline' | 'abandoned'] | ['dead-lettered', DeadLetterReason]): void {
      if (outcome === 'dead-lettered') counts.deadLettered[reason]++
      else counts[outcome]++
    },

    snapshot (): StatsSnapshot {
      return { ...counts, deadLettered: { ...counts.deadLettered } }
    }
  }
}
