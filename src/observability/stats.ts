import type { Circumstance, DeadLetterReason, Kind, Observer, Origin, Result } from '../delivery/doors.js'
import type { Notification } from '../delivery/notification.js'

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
   * Notifications that the hold dropped unseen: for lack of room, because of their age, and because
   * something else has changed what Redis had. A notification that never
   * got in, because there was no room, also counts as `offline`, and not as `held`. Notifications that Redis removes
   * when they expire are not counted.
   */
  dropped: { overflow: number, expired: number, broken: number }
  /** Notifications dropped because their user had no connection. */
  offline: number
  /** Messages that the option `decode` took for no user. */
  ignored: number
  /** Messages put in the dead-letter queue, by reason. */
  deadLettered: Record<DeadLetterReason, number>
  /**
   * With `cluster: true`: broadcasts, disconnects and changes of groups that did not reach the peers, because the broker
   * accepted no publishes. They were dropped for lack of room, and because of their age. And broadcasts, and messages for
   * a group or for everybody, that are larger than what the broker takes.
   */
  unsent: { overflow: number, expired: number, 'too-large': number }
  /** Outcomes known only after the channel had died. The broker redelivers those messages, and they count again. */
  abandoned: number
}

/** Counts every outcome, by reason. */
export class Stats implements Partial<Observer> {
  readonly #counts: StatsSnapshot = {
    acknowledged: 0,
    sent: 0,
    relayed: 0,
    held: 0,
    released: 0,
    dropped: { overflow: 0, expired: 0, broken: 0 },
    offline: 0,
    ignored: 0,
    deadLettered: { 'too-large': 0, 'invalid-encoding': 0, 'invalid-utf8': 0, 'invalid-json': 0, 'invalid-message': 0, undecodable: 0, offline: 0, rejected: 0, 'delivery-limit': 0, 'internal-error': 0 },
    unsent: { overflow: 0, expired: 0, 'too-large': 0 },
    abandoned: 0
  }

  ignored (): void {
    this.#counts.ignored++
  }

  rejected (_origin: Origin, reason: DeadLetterReason): void {
    this.#counts.deadLettered[reason]++
  }

  settled (_notification: Notification, _origin: Origin | undefined, kind: Kind, { outcome }: Result, circumstance: Circumstance | undefined): void {
    const counts = this.#counts
    if (kind === 'guest' || circumstance === 'joined') return // counted by the peer that asked, or for the delivery that was joined
    if (kind === 'held') counts.released++
    else if (circumstance === 'relayed') counts.relayed++
    else if (circumstance === 'repeated') return // counted already
    if (outcome === 'dead-lettered') counts.deadLettered[circumstance === 'rejected' ? 'rejected' : 'offline']++
    else counts[outcome]++
  }

  settledLate (): void {
    this.#counts.released++
    this.#counts.acknowledged++
  }

  /** An outcome was known only after the channel had died. */
  countAbandoned (): void {
    this.#counts.abandoned++
  }

  /** The hold dropped notifications unseen. */
  countDropped (reason: keyof StatsSnapshot['dropped'], count: number): void {
    this.#counts.dropped[reason] += count
  }

  /** A message for the peers was dropped. */
  countUnsent (reason: keyof StatsSnapshot['unsent']): void {
    this.#counts.unsent[reason]++
  }

  snapshot (): StatsSnapshot {
    const { dropped, unsent, deadLettered } = this.#counts
    return { ...this.#counts, dropped: { ...dropped }, unsent: { ...unsent }, deadLettered: { ...deadLettered } }
  }
}
