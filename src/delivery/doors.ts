import type { Multicast, Summary } from './multicast.js'
import type { Notification } from './notification.js'
import type { Result } from './outcome.js'
import type { Payload } from './payload.js'

export type { Outcome, Result } from './outcome.js'

/** Why a message or a notification is in the dead-letter queue. */
export type DeadLetterReason = 'too-large' | 'invalid-encoding' | 'invalid-utf8' | 'invalid-json' | 'invalid-message' | 'undecodable' | 'offline' | 'rejected' | 'delivery-limit' | 'internal-error'

/** Where a notification comes from: a message of a queue, or a call of `notify()`. */
export interface Origin {
  /** The queue; undefined for a call. */
  readonly queue: string | undefined
  /** Whether the source delivers an unsettled notification again: a queue does, a call does not. */
  readonly redelivers: boolean
  /** Whether a client may have seen it before. */
  readonly redelivered: boolean
  /** Bytes of memory that its message takes while it is unsettled, with the content; 0 for a call. */
  readonly bytes: number
  /**
   * Counts the memory of so many more users whose outcomes its message waits for, or of fewer if it is negative. Absent for a
   * call.
   */
  addUsers? (count: number): void
  /** How long it may wait after its arrival, in milliseconds; Infinity if there is no limit. */
  readonly timeToLive: number
  /** Aborts when the queue will redeliver it, because the channel is dead; undefined for a call. */
  readonly gone: AbortSignal | undefined
  /** Whether it is for several users. Then each notification is dead-lettered by itself. */
  readonly isShared: boolean
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
   * Publishes the notification to the dead-letter queue.
   * @param reason `offline`: its user has no connection. `rejected`: its user's clients could not handle it
   * @returns when the broker has confirmed the publish
   * @throws AbortError when `gone` aborts; for a call FST_NOTIFICATION_PUBLISH_FAILED, FST_NOTIFICATION_PUBLISH_TIMEOUT,
   *   and FST_NOTIFICATION_REJECTED if there is no broker
   */
  deadLetter (notification: Notification, reason: 'offline' | 'rejected'): Promise<void>
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
  /**
   * Tells the client that another connection of the user has acknowledged notifications. An ack of its own for one of
   * these says nothing new: it has no claim any more.
   * @param isEarlier whether that was before this connection: then it may have been this very client
   */
  dismiss (ids: readonly string[], isEarlier?: boolean): void
  /**
   * The client acknowledges a notification.
   * @returns whether it was sent on this connection, and this is its first ack. False if it was sent too long ago
   */
  spendClaim (id: string): boolean
}

/** The connections that a live notification is for: those of a group, or all. Whoever leaves is out of it at once. */
export interface Members {
  readonly users: ReadonlyMap<string, readonly Subscriber[]>
  /** A user's connections; empty if there are none. */
  of (userId: string): readonly Subscriber[]
}

/** Remembers for a while what a user's clients have acknowledged, for those of the user's devices that were away. */
export interface Dismissals {
  add (userId: string, id: string): void
  /** The ids that are remembered, the oldest first. Never fails: what can't be read is not there. */
  read (userId: string): Promise<readonly string[]>
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
  /** Whether other processes use the same store. Then positions and expiry times must be by the wall clock. */
  readonly isShared: boolean

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
   * @param maxBytes maximum size of their contents together. A single one may be larger
   * @returns at most `limit` notifications, none of them expired
   * @throws FST_NOTIFICATION_HOLD_FAILED
   */
  read (userId: string, after: Pick<Held, 'position' | 'id'> | undefined, limit: number, maxBytes?: number): Promise<readonly Held[]>

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
 * - `live`: it is for the members of a group, or for everybody, who are connected; those who have left don't get it
 */
export type Kind = 'own' | 'held' | 'guest' | 'live'

/** What is special about how a notification got its outcome. */
export type Circumstance = 'relayed' | 'repeated' | 'joined' | 'rejected'

/** Learns what happens to messages and notifications. */
export interface Observer {
  /**
   * A queue has delivered a message. Its outcome follows.
   * @param decoded undefined if the message can't be used, or is decoded later
   */
  received (origin: Origin, decoded: Notification | Multicast | undefined): void
  /** A message that was received before is decoded now. */
  decoded (origin: Origin, decoded: Notification | Multicast): void
  /** A message is not for a user, as the application has decided. It is acked. */
  ignored (origin: Origin): void
  /**
   * A message, or its notification for one of several users, is in the dead-letter queue for a reason other than an
   * offline user.
   * @param decoded undefined if the message can't be used
   */
  rejected (origin: Origin, reason: DeadLetterReason, decoded: Notification | Multicast | undefined): void
  /** A peer asks this instance to deliver a notification. Its outcome follows. */
  hosted (notification: Notification): void
  /**
   * A notification has its outcome.
   * @param origin undefined if the notification comes from the hold or from a peer
   * @param circumstance `relayed` if a peer has told the outcome; `repeated` if the hold had the notification already;
   *   `joined` if the outcome is that of another delivery of the same id, which the observers learn separately; `rejected`
   *   if its user's clients could not handle it
   */
  settled (notification: Notification, origin: Origin | undefined, kind: Kind, result: Result, circumstance: Circumstance | undefined): void
  /** All users of a multicast have their outcome. Those were told one by one. */
  fannedOut (multicast: Multicast, origin: Origin, summary: Summary): void
  /** A notification has failed without an outcome. A caller of `notify()` gets the error. */
  failed (notification: Notification, origin: Origin | undefined, error: unknown): void
  /** A notification has no outcome, because its source delivers it again. */
  abandoned (notification: Notification, origin: Origin | undefined): void
  /** A client acknowledged a notification late. The hold had it again, and has removed it. */
  settledLate (userId: string, id: string): void
  /** Runs a step in the trace of a message, or of a peer's notification. Without this method there are no traces. */
  run?: <T>(subject: Origin | Notification, step: () => T) => T
}
