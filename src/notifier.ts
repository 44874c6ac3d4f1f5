import type { FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import type { Outcome, Result } from './delivery/doors.js'
import type { Health } from './observability/health.js'
import type { TraceEntry, TraceFilter } from './observability/journal.js'
import type { StatsSnapshot } from './observability/stats.js'

/** What became of one notification. */
export interface NotifyResult extends Result {
  /** The notification's id. */
  readonly id: string
}

/** What became of one content for many users. */
export interface NotifyManyResult {
  /** The id, the same for every user. */
  readonly id: string
  /** How many users the content was for. */
  readonly users: number
  /** How many connections the content was handed to. */
  readonly connections: number
  /** How many users had which outcome. */
  readonly outcomes: Readonly<Partial<Record<Outcome, number>>>
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
   * Sends one content to every user who is connected. The content is encoded once. A user who disconnects meanwhile
   * counts as offline. With `cluster: true`, the other instances send the content to their users too. The call does not
   * wait for them, and its result does not include them.
   * @throws as {@link notify}
   */
  broadcast (content: unknown, options?: { id?: string }): Promise<NotifyManyResult>

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
   * Closes every connection of a user, with `cluster: true` on all instances. For a user who has signed out, or is banned.
   * @param code a close code that an endpoint may send (RFC 6455 §7.4); default 4502, after which clients don't reconnect
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
   * Tells why a user did or didn't get a notification. Returns the last events of this instance: those of a notification,
   * those of a user, or without a filter all of them. Contents are not kept.
   * @returns copies, the newest last; at most as many as the `journal` option says
   * @throws FST_NOTIFICATION_NO_JOURNAL; FST_NOTIFICATION_INVALID_USER_ID if the filter has neither `userId` nor `id`
   */
  trace (filter?: TraceFilter): TraceEntry[]
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Pushes notifications to the WebSockets of users. */
    notifier: Notifier
  }
}
