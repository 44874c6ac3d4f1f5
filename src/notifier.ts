import type { FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import type { Result } from './delivery/doors.js'
import type { Summary } from './delivery/multicast.js'
import type { Health } from './observability/health.js'
import type { TraceEntry, TraceFilter } from './observability/journal.js'
import type { StatsSnapshot } from './observability/stats.js'
import type { DisconnectOptions } from './websocket/disconnect.js'

export type { DisconnectOptions }

/** What became of one notification. */
export interface NotifyResult extends Result {
  /** The notification's id. */
  readonly id: string
}

/** What became of one content for many users. */
export interface NotifyManyResult extends Summary {
  /** The id, the same for every user. */
  readonly id: string
}

/** What a message to a group or to everybody may say besides its content. */
export interface ManyOptions {
  /** Results, logs and dead letters show it; default: a new UUID. */
  readonly id?: string
  /** Up to 1,000 users who don't get it. */
  readonly except?: Iterable<string>
}

/** The registry of connections by user, as `fastify.notifier`. */
export interface Notifier {
  /**
   * Sends a content to every connection of a user. The notification is treated as one from the queue.
   * @param userId 1 to 255 bytes of UTF-8 without control characters, and not `__proto__`
   * @param content a string, sent as it is, or any value with a JSON form, sent as JSON
   * @param options `id`: results, logs and dead letters show it, as they show `userId`; default: a new UUID
   * @throws FST_NOTIFICATION_INVALID_USER_ID, FST_NOTIFICATION_INVALID_ID, FST_NOTIFICATION_INVALID_CONTENT;
   *   with `offline: 'dead-letter'` also FST_NOTIFICATION_PUBLISH_FAILED, FST_NOTIFICATION_PUBLISH_TIMEOUT;
   *   with `cluster: true` also these; with `offline: 'hold'` also FST_NOTIFICATION_HOLD_FAILED
   */
  notify (userId: string, content: unknown, options?: { id?: string }): Promise<NotifyResult>

  /**
   * Sends one content to many users. The content is encoded once. A user whose id is given twice gets it once.
   * @param userIds any iterable of user ids
   * @throws as {@link notify}. If an id is invalid, nobody gets the content. If a dead letter can't be published, the
   *   other users get the content nevertheless
   */
  notifyMany (userIds: Iterable<string>, content: unknown, options?: { id?: string }): Promise<NotifyManyResult>

  /**
   * Sends one content to the members of a group who are connected. The content is encoded once. Nothing is kept for those
   * who are not: a member who leaves before the outcome counts as offline.
   * @throws FST_NOTIFICATION_INVALID_GROUP, FST_NOTIFICATION_INVALID_EXCEPT; and as {@link notify}. With `cluster: true`
   *   also FST_NOTIFICATION_TOO_LARGE; then the members on this instance get the content nevertheless
   */
  notifyGroup (group: string, content: unknown, options?: ManyOptions): Promise<NotifyManyResult>

  /**
   * Sends one content to every user who is connected. The content is encoded once. Nothing is kept for those who are not:
   * a user who disconnects before the outcome counts as offline. With `cluster: true`, the other instances send the
   * content to their users too. The call does not wait for them, and its result does not include them.
   * @throws FST_NOTIFICATION_INVALID_EXCEPT; and as {@link notify}
   */
  broadcast (content: unknown, options?: ManyOptions): Promise<NotifyManyResult>

  /**
   * Puts the connections that a user has now into a group. For those that come later, only what `authenticate` returns
   * counts.
   * @returns how many connections of the user this instance has
   * @throws FST_NOTIFICATION_INVALID_USER_ID, FST_NOTIFICATION_INVALID_GROUP, FST_NOTIFICATION_TOO_MANY_GROUPS
   */
  join (userId: string, group: string): Promise<number>

  /**
   * Takes a user's connections out of a group.
   * @returns how many connections of the user this instance has
   * @throws FST_NOTIFICATION_INVALID_USER_ID, FST_NOTIFICATION_INVALID_GROUP
   */
  leave (userId: string, group: string): Promise<number>

  /**
   * Adds a socket of one of the application's own routes. The socket is removed when it closes.
   * @param socket an open WebSocket of @fastify/websocket; to register it again for the same user changes nothing
   * @param request the upgrade request of the socket, for the log
   * @returns the id of the connection, as in the log
   * @throws FST_NOTIFICATION_INVALID_USER_ID, FST_NOTIFICATION_INVALID_SOCKET
   */
  register (userId: string, socket: WebSocket, request?: FastifyRequest): string

  /**
   * Removes a socket, and leaves it open.
   * @returns whether the socket was registered for this user
   */
  unregister (userId: string, socket: WebSocket): boolean

  /**
   * Closes connections of a user, with `cluster: true` on all instances: all of them, or with `sessionId` those of one
   * device. They end for good (4502), or with `reconnect` come back with new credentials (4500).
   * @returns how many connections were closed on this instance
   * @throws FST_NOTIFICATION_INVALID_SESSION_ID, FST_NOTIFICATION_INVALID_CLOSE
   */
  disconnect (userId: string, options?: DisconnectOptions): number

  /**
   * Closes every connection of a user with a code of the application, with `cluster: true` on all instances.
   * @param code a close code that an endpoint may send (RFC 6455 §7.4): after 4000 to 4499 clients connect again, after 4500 to 4999 they don't
   * @param reason at most 123 bytes
   * @returns how many connections were closed on this instance
   * @throws FST_NOTIFICATION_INVALID_CLOSE
   */
  disconnect (userId: string, code?: number, reason?: string): number

  /**
   * Whether a user has a connection: with `cluster: true`, on any instance.
   * @throws FST_NOTIFICATION_INVALID_USER_ID, FST_NOTIFICATION_PUBLISH_TIMEOUT
   */
  isOnline (userId: string): Promise<boolean>

  /** How many connections a user has on this instance. */
  connections (userId: string): number

  /** The users who are connected to this instance: how many there are, and their ids. */
  readonly users: { readonly size: number, has (userId: string): boolean, [Symbol.iterator] (): IterableIterator<string> }

  /** How many connections this instance has. */
  readonly size: number

  /** Whether messages are being consumed, since when, and the last error. */
  health (): Health

  /** How many notifications have had which outcome since the start of this process. */
  stats (): StatsSnapshot

  /**
   * Tells why a user did or didn't get a notification. Returns the last events of this instance, then what has no outcome
   * yet, as `waiting`: those of a notification, those of a user, or without a filter all of them. Contents are not kept.
   * @returns copies, the newest last; of both at most as many as the `journal` option says
   * @throws FST_NOTIFICATION_NO_JOURNAL; FST_NOTIFICATION_INVALID_USER_ID if the filter has neither `userId` nor `id`, or a
   *   `userId` that is no user id; FST_NOTIFICATION_INVALID_ID
   */
  trace (filter?: TraceFilter): TraceEntry[]

  /** The same for the query of a request, as it came. Other members than `userId` and `id` are ignored. */
  trace (query: unknown): TraceEntry[]
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Pushes notifications to the WebSockets of users. */
    notifier: Notifier
  }
}
