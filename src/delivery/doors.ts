import type { Notification } from './notification.js'
import type { Payload } from './payload.js'

/**
 * What became of a notification: a client acknowledged it; it was handed to a socket; it is kept until the user connects;
 * it was dropped, as its user has no connection; it is in the dead-letter queue.
 */
export type Outcome = 'acknowledged' | 'sent' | 'held' | 'offline' | 'dead-lettered'

/** Why a message or a notification is in the dead-letter queue. */
export type DeadLetterReason = 'too-large' | 'invalid-utf8' | 'invalid-json' | 'invalid-message' | 'offline' | 'delivery-limit' | 'internal-error'

/** The outcome of a notification, with what is told of it. */
export interface Result {
  readonly outcome: Outcome
  /** How many connections it was handed to. */
  readonly connections: number
}

/** Where a notification comes from: a message of a queue, or a call of `notify()`. */
export interface Origin {
  /** The queue; undefined for a call. */
  readonly queue: string | undefined
  /** Whether its source hands it over again when it is not settled: a queue does, a call does not. */
  readonly returns: boolean
  /** Whether a client may have seen it before. */
  readonly redelivered: boolean
  /** How long it may wait from its arrival on, in milliseconds; Infinity without a limit. */
  readonly timeToLive: number
  /** Aborts when its source will hand it over again, as the channel of the delivery is dead; undefined for a call. */
  readonly gone: AbortSignal | undefined
  /** Whether it is moved to the dead-letter queue: then nothing more is done for it, unless a client has it already. */
  readonly isMoved: boolean
  /**
   * Reads the times of a notification that was in the hold of a process before this one.
   * @param fresh its times if it has just arrived, by the clock `now`
   * @param maxAge of the hold, in milliseconds
   * @returns undefined if it has just arrived
   */
  timesBefore (fresh: HeldTimes, now: () => number, maxAge: number): HeldTimes | undefined
  /**
   * Puts it into the dead-letter queue, as its user is offline.
   * @returns when the broker has confirmed it
   * @throws AbortError when it is gone; FST_NOTIFICATION_PUBLISH_FAILED, FST_NOTIFICATION_PUBLISH_TIMEOUT for a call
   */
  deadLetter (notification: Notification): Promise<void>
}

/** A client connection of one user, as the delivery sees it. */
export interface Subscriber {
  readonly id: string
  readonly userId: string
  /** Whether its client acknowledges notifications. */
  readonly acknowledges: boolean
  /** How many notifications it was handed and has not acknowledged. Only the delivery changes it. */
  unackedCount: number
  /** Whether it can be sent something: it is open, and its credentials are valid. */
  readonly isUsable: boolean
  /** Whether more waits for its client than it should be sent at once. */
  readonly isCongested: boolean
  /**
   * Hands a payload over.
   * @param redelivered whether the client may have seen it before
   * @returns false if it can't be sent: not usable, or its client is too slow
   */
  send (payload: Payload, redelivered: boolean): boolean
  /** Resolves when it is not congested any more, or has ended, or the signal aborts. */
  relieved (over: AbortSignal): Promise<void>
  /** Tells its client that another connection of the user has acknowledged a notification. */
  dismiss (id: string): void
  /**
   * Uses up one of the acks that its client may send for notifications that wait for none.
   * @returns false if there is none left
   */
  spendClaim (): boolean
}

/** A notification that is kept for its user. */
export interface Held {
  readonly id: string
  /** JSON, passed on as it is. */
  readonly content: string
  /** When it was taken first, in whole microseconds since 1970: what is given back keeps its place. */
  readonly position: number
  /** In milliseconds since 1970; Infinity if it does not expire before `maxAge`. */
  readonly expiresAt: number
}

/** When a notification was taken first, and when it expires. */
export type HeldTimes = Pick<Held, 'position' | 'expiresAt'>

/** Keeps notifications of users who are offline, bounded and in order, until they are settled. */
export interface HoldStore {
  /**
   * Keeps one. One that is there already, by its id, stays as it is.
   * @returns once it is kept: the ids of this user that were dropped to make room, oldest first. Its own is among them
   *   if it was not kept: too large, older than the others where there is no room, or expired. `known` if another one
   *   with its id is there; one of the same position is the same one, added again after a failure
   * @throws FST_NOTIFICATION_HOLD_FAILED; it may be kept nevertheless, and adding it again does no harm
   */
  add (userId: string, held: Held): Promise<readonly string[] | 'known'>

  /**
   * Reads what is kept, oldest first: by position, then in the order of adding.
   * @param after the last one read, which is left out with everything before it; undefined, from the oldest on. If it
   *   has been removed meanwhile, others of the very same position may be read again
   * @returns at most `limit`, none of them expired
   * @throws FST_NOTIFICATION_HOLD_FAILED
   */
  read (userId: string, after: Pick<Held, 'position' | 'id'> | undefined, limit: number): Promise<readonly Held[]>

  /**
   * Removes what is settled; ids that are not there are ignored.
   * @returns those that were there
   * @throws FST_NOTIFICATION_HOLD_FAILED
   */
  remove (userId: string, ids: readonly string[]): Promise<readonly string[]>
}

/**
 * Who asked for a delivery:
 * - `own`: a message of the queue or a call of `notify()`; this instance decides its outcome
 * - `held`: it comes from the hold, and has had its outcome
 * - `guest`: a peer asks whether somebody here takes it
 */
export type Kind = 'own' | 'held' | 'guest'

/** What is special about how a notification got its outcome. */
export type Circumstance = 'relayed' | 'repeated' | 'joined'

/** Is told what happens to messages and notifications. */
export interface Observer {
  /**
   * A queue has delivered a message. What becomes of it follows.
   * @param notification undefined if the message can't be used
   */
  received (origin: Origin, notification: Notification | undefined): void
  /**
   * A message is in the dead-letter queue, for another reason than that its user is offline.
   * @param notification undefined if the message can't be used
   */
  rejected (origin: Origin, reason: DeadLetterReason, notification: Notification | undefined): void
  /** A peer asks for a notification to be delivered here. Its outcome follows. */
  hosted (notification: Notification): void
  /**
   * A notification has its outcome.
   * @param origin undefined for one of the hold, and for one of a peer
   * @param circumstance `relayed` if a peer has told the outcome; `repeated` if the hold had the notification already;
   *   `joined` if the outcome is that of another delivery of the same id, which is told by itself
   */
  settled (notification: Notification, origin: Origin | undefined, kind: Kind, result: Result, circumstance: Circumstance | undefined): void
  /** A call's notification has no outcome, and its caller is told so. */
  failed (notification: Notification, origin: Origin | undefined, error: unknown): void
  /** A notification has no outcome, as its source hands it over again. */
  abandoned (notification: Notification, origin: Origin | undefined): void
  /** A client acknowledged something late: it was in the hold again, and is not any more. */
  settledLate (userId: string, id: string): void
  /** Runs a step in the trace of a message, or of a notification that a peer asks for; if left out, there are no traces. */
  run?: <T>(subject: Origin | Notification, step: () => T) => T
}
