import type { Notification } from './notification.js'
import type { Payload } from './payload.js'

/**
 * The outcome of a notification:
 * - `acknowledged`: a client acknowledged it
 * - `sent`: it was handed to a socket
 * - `held`: it is kept until the user connects
 * - `offline`: it was dropped, because its user has no connection
 * - `dead-lettered`: it is in the dead-letter queue
 */
export type Outcome = 'acknowledged' | 'sent' | 'held' | 'offline' | 'dead-lettered'

/** Why a message or a notification is in the dead-letter queue. */
export type DeadLetterReason = 'too-large' | 'invalid-utf8' | 'invalid-json' | 'invalid-message' | 'offline' | 'delivery-limit' | 'internal-error'

/** The outcome of a notification, and how many connections had it. */
export interface Result {
  readonly outcome: Outcome
  /** How many connections the notification was handed to. */
  readonly connections: number
}

/** Where a notification comes from: a message of a queue, or a call of `notify()`. */
export interface Origin {
  /** The queue; undefined for a call. */
  readonly queue: string | undefined
  /** Whether the source delivers an unsettled notification again: a queue does, a call does not. */
  readonly returns: boolean
  /** Whether a client may have seen it before. */
  readonly redelivered: boolean
  /** How long it may wait after its arrival, in milliseconds; Infinity if there is no limit. */
  readonly timeToLive: number
  /** Aborts when the queue will redeliver it, because the channel is dead; undefined for a call. */
  readonly gone: AbortSignal | undefined
  /** Whether it is being moved to the dead-letter queue. Then its delivery stops, unless a client has it already. */
  readonly isMoved: boolean
  /**
   * Reads the times of a notification that was in the hold of an earlier process.
   * @param fresh the times of a new notification, by the clock `now`
   * @param maxAge `maxAge` of the hold, in milliseconds
   * @returns undefined if the notification is new
   */
  timesBefore (fresh: HeldTimes, now: () => number, maxAge: number): HeldTimes | undefined
  /**
   * Publishes the notification to the dead-letter queue, because its user is offline.
   * @returns when the broker has confirmed the publish
   * @throws AbortError when `gone` aborts; FST_NOTIFICATION_PUBLISH_FAILED, FST_NOTIFICATION_PUBLISH_TIMEOUT for a call
   */
  deadLetter (notification: Notification): Promise<void>
}

/** What the delivery needs of a user's connection. */
export interface Subscriber {
  readonly id: string
  readonly userId: string
  /** Whether the client acknowledges notifications. */
  readonly acknowledges: boolean
  /** How many notifications it has not acknowledged. Only the delivery changes this count. */
  unackedCount: number
  /** Whether it can be sent to: it is open, and its credentials are valid. */
  readonly isUsable: boolean
  /** Whether too much waits for the client to read, so that nothing more should be sent now. */
  readonly isCongested: boolean
  /**
   * Sends a payload.
   * @param redelivered whether the client may have seen the notification before
   * @returns false if it can't be sent: the connection is not usable, or the client is too slow
   */
  send (payload: Payload, redelivered: boolean): boolean
  /** Resolves when the connection is not congested any more, when it has ended, or when the signal aborts. */
  relieved (over: AbortSignal): Promise<void>
  /** Tells the client that another connection of the user has acknowledged a notification. */
  dismiss (id: string): void
  /**
   * Uses up one of the acks that the client may send for notifications that are not in flight.
   * @returns false if none is left
   */
  spendClaim (): boolean
}

/** A held notification. */
export interface Held {
  readonly id: string
  /** JSON, passed on unchanged. */
  readonly content: string
  /** When it first arrived, in whole microseconds since 1970. It keeps its place when it returns to the queue. */
  readonly position: number
  /** In milliseconds since 1970; Infinity if it does not expire before `maxAge`. */
  readonly expiresAt: number
}

/** When a notification first arrived, and when it expires. */
export type HeldTimes = Pick<Held, 'position' | 'expiresAt'>

/** Keeps the notifications of offline users, in order and within limits, until they are settled. */
export interface HoldStore {
  /**
   * Adds a notification. If the store has its id already, nothing changes.
   * @returns once it is kept: the ids of this user that were dropped to make room, oldest first. They include its own
   *   id if it was not kept: it is too large, it has expired, or there is no room and it is older than the others.
   *   `known` if the store has another notification with its id. An equal position means the same notification, added
   *   again after a failure
   * @throws FST_NOTIFICATION_HOLD_FAILED; the store may have it nevertheless, and adding it again does no harm
   */
  add (userId: string, held: Held): Promise<readonly string[] | 'known'>

  /**
   * Reads a user's notifications, oldest first: by position, then in the order of adding.
   * @param after the last notification that was read: reading continues after it. If undefined, reading starts with
   *   the oldest. If `after` was removed meanwhile, others of the same position may be read again
   * @returns at most `limit` notifications, none of them expired
   * @throws FST_NOTIFICATION_HOLD_FAILED
   */
  read (userId: string, after: Pick<Held, 'position' | 'id'> | undefined, limit: number): Promise<readonly Held[]>

  /**
   * Removes settled notifications. Ignores unknown ids.
   * @returns the ids that the store had
   * @throws FST_NOTIFICATION_HOLD_FAILED
   */
  remove (userId: string, ids: readonly string[]): Promise<readonly string[]>
}

/**
 * Who asked for a delivery:
 * - `own`: a message of the queue, or a call of `notify()`; this instance decides the outcome
 * - `held`: the hold; the notification has had its outcome
 * - `guest`: a peer asks this instance to deliver
 */
export type Kind = 'own' | 'held' | 'guest'

/** What is special about how a notification got its outcome. */
export type Circumstance = 'relayed' | 'repeated' | 'joined'

/** Learns what happens to messages and notifications. */
export interface Observer {
  /**
   * A queue has delivered a message. Its outcome follows.
   * @param notification undefined if the message can't be used
   */
  received (origin: Origin, notification: Notification | undefined): void
  /**
   * A message is in the dead-letter queue for a reason other than an offline user.
   * @param notification undefined if the message can't be used
   */
  rejected (origin: Origin, reason: DeadLetterReason, notification: Notification | undefined): void
  /** A peer asks this instance to deliver a notification. Its outcome follows. */
  hosted (notification: Notification): void
  /**
   * A notification has its outcome.
   * @param origin undefined if the notification comes from the hold or from a peer
   * @param circumstance `relayed` if a peer has told the outcome; `repeated` if the hold had the notification already;
   *   `joined` if the outcome is that of another delivery of the same id, which the observers learn separately
   */
  settled (notification: Notification, origin: Origin | undefined, kind: Kind, result: Result, circumstance: Circumstance | undefined): void
  /** A notification has failed without an outcome. A caller of `notify()` gets the error. */
  failed (notification: Notification, origin: Origin | undefined, error: unknown): void
  /** A notification has no outcome, because its source delivers it again. */
  abandoned (notification: Notification, origin: Origin | undefined): void
  /** A client acknowledged a notification late. The hold had it again, and has removed it. */
  settledLate (userId: string, id: string): void
  /** Runs a step in the trace of a message, or of a peer's notification. Without this method there are no traces. */
  run?: <T>(subject: Origin | Notification, step: () => T) => T
}
