import type { Delivery } from './delivery.js'
import type { Kind, Origin } from './doors.js'
import type { Mailbox } from './mailbox.js'

/**
 * What a message or a notification without an outcome waits for:
 * - `ack`: for a client to acknowledge it
 * - `room`: for room at the user's connections, which have `maxUnacked` unacknowledged ones, or read too slowly
 * - `hold`: for the hold to keep it, or for the broker to have the news of that for other instances
 * - `peers`: for other instances
 * - `dead-letters`: for the broker to take its dead letter
 * - `retry`: for the next try, after a client could not handle it
 * - `decode`: for the option `decode`, or for an earlier message that is being decoded
 */
export type WaitCause = (typeof waitCauses)[number]

export const waitCauses = ['ack', 'room', 'hold', 'peers', 'dead-letters', 'retry', 'decode'] as const

/** A message or a notification that has no outcome yet. */
export interface Waiting {
  /** Undefined if the message can't be used, or is not decoded yet. */
  readonly userId: string | undefined
  readonly id: string | undefined
  readonly kind: Kind
  /** Undefined for a notification of the hold or of a peer. */
  readonly origin: Pick<Origin, 'queue' | 'gone'> | undefined
  readonly cause: WaitCause
  /** In milliseconds since 1970. */
  readonly since: number
  /** How many connections here have it and have not acknowledged it. */
  readonly connections: number
}

/**
 * Lists what has no outcome yet. Read from the mailbox itself, so nothing is counted while messages are delivered.
 * @param ackTimeout how long a client may take to acknowledge a notification, in milliseconds
 */
export function * waitingIn (mailbox: Mailbox, ackTimeout: number): Generator<Waiting, void, undefined> {
  const monotonic = Date.now() - performance.now()
  for (const delivery of mailbox.inFlight.values()) {
    // What clients keep for too long is on its way into the hold or the dead-letter queue, and they still have it.
    if (delivery.waitsFor === undefined) yield * describe(delivery, 'ack', delivery.deadline - ackTimeout + monotonic)
    else yield * describe(delivery, delivery.waitsFor, delivery.causeSince!)
  }
  for (const delivery of mailbox.pending.values()) {
    yield * describe(delivery, delivery.waitsFor ?? 'peers', delivery.causeSince ?? delivery.position / 1_000)
  }
}

/** A delivery, and what has joined it. What is moved to the dead-letter queue has its outcome there. */
function * describe ({ userId, id, kind, origin, joined, holders }: Delivery, cause: WaitCause, since: number): Generator<Waiting, void, undefined> {
  const waiting = { userId, id, kind, origin, cause, since, connections: holders.length }
  if (origin?.isMoved !== true) yield waiting
  for (const origin of joined ?? []) yield { ...waiting, kind: 'own', origin }
}
