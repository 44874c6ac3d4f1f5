import type { FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import { closeCodes, isSendableCloseCode, MAX_REASON_BYTES } from './close-codes.js'
import type { Cluster } from './cluster/index.js'
import type { Dispatcher } from './delivery/dispatcher.js'
import type { Origin, Outcome, Result } from './delivery/doors.js'
import { errors } from './errors.js'
import type { Health } from './observability/health.js'
import type { Journal, TraceEntry, TraceFilter } from './observability/journal.js'
import { assertUserId, compose, composePayload, describeValue } from './delivery/notification.js'
import type { Payload } from './delivery/payload.js'
import type { Registry } from './delivery/registry.js'
import type { Sockets } from './websocket/sockets.js'
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
  /** How many users it was for. */
  readonly users: number
  /** How many connections it was handed to. */
  readonly connections: number
  /** How many users had which outcome. */
  readonly outcomes: Readonly<Partial<Record<Outcome, number>>>
}

/** The registry of connections by user, as `fastify.notifier`. */
export interface Notifier {
  /**
   * Sends a content to every connection of a user: the path of a queue message, without the queue.
   * @param userId 1 to 255 bytes of UTF-8 without control characters, and not `__proto__`
   * @param content a string, sent as it is, or any value with a JSON form, sent as JSON
   * @param options `id`: appears in results, logs and dead letters, like `userId`; a fresh UUID where left out
   * @throws FST_NOTIFICATION_INVALID_USER_ID, FST_NOTIFICATION_INVALID_ID, FST_NOTIFICATION_INVALID_CONTENT;
   *   with `offline: 'dead-letter'` also FST_NOTIFICATION_PUBLISH_FAILED, FST_NOTIFICATION_PUBLISH_TIMEOUT;
   *   with `cluster: true` also these; with `offline: 'hold'` also FST_NOTIFICATION_HOLD_FAILED
   */
  notify (userId: string, content: unknown, options?: { id?: string }): Promise<NotifyResult>

  /**
   * Sends one content to many users, encoded once. A user named twice gets it once.
   * @param userIds any iterable of user ids
   * @throws as {@link notify}: nothing is sent when one of the ids is invalid; where a dead letter can't be published,
   *   the others are sent all the same
   */
  notifyMany (userIds: Iterable<string>, content: unknown, options?: { id?: string }): Promise<NotifyManyResult>

  /**
   * Sends one content to everybody who is connected, encoded once. Who leaves at that moment counts as offline; other
   * instances send it too, and are not waited for, nor in the result.
   * @throws as {@link notify}
   */
  broadcast (content: unknown, options?: { id?: string }): Promise<NotifyManyResult>

  /**
   * Takes a socket of a route of the application's own; it leaves by itself when it closes.
   * @param socket an open WebSocket of @fastify/websocket; registered twice for one user it counts once
   * @param request its request, for the log
   * @returns the id of the connection, as in the log
   * @throws FST_NOTIFICATION_INVALID_USER_ID, FST_NOTIFICATION_INVALID_SOCKET
   */
  register (userId: string, socket: WebSocket, request?: FastifyRequest): string

  /**
   * Takes a socket out again, and leaves it open.
   * @returns whether it was registered for this user
   */
  unregister (userId: string, socket: WebSocket): boolean

  /**
   * Closes every connection of a user, with `cluster: true` on all instances: signed out, banned.
   * @param code a close code that an endpoint may send (RFC 6455 §7.4); default 4502, at which clients don't come back
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

  /** The users who are connected to this instance: how many, and their ids one by one. */
  readonly users: { readonly size: number, has (userId: string): boolean, [Symbol.iterator] (): IterableIterator<string> }

  /** How many connections this instance has. */
  readonly size: number

  /** Whether messages are being consumed, since when, and what went wrong last. */
  health (): Health

  /** What became of everything so far, counted. */
  stats (): StatsSnapshot

  /**
   * Why somebody did or didn't get something: the last outcomes of a notification, or of a user with their connections and
   * disconnections, on this instance; without a filter, everything. Contents are not kept.
   * @returns copies, the newest last; at most as many as the `journal` option says
   * @throws FST_NOTIFICATION_NO_JOURNAL, FST_NOTIFICATION_INVALID_USER_ID where a filter names nobody and nothing
   */
  trace (filter?: TraceFilter): TraceEntry[]
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Pushes notifications to the WebSockets of users. */
    notifier: Notifier
  }
}

interface NotifierParts {
  registry: Registry
  dispatcher: Pick<Dispatcher, 'deliver'>
  /** The origin of what is not from a queue. */
  origin: Origin
  sockets: Sockets
  /** With `cluster: true`. */
  cluster: Cluster | undefined
  health (): Health
  stats (): StatsSnapshot
  journal: Journal | undefined
}

/** The public face of the registry and the router. */
export function createNotifier ({ registry, dispatcher, origin, sockets, cluster, health, stats, journal }: NotifierParts): Notifier {
  async function routeToEach (userIds: Iterable<string>, payload: Payload, isForAll = false): Promise<NotifyManyResult> {
    const outcomes: Partial<Record<Outcome, number>> = {}
    let users = 0
    let connections = 0
    function count ({ outcome, connections: handedTo }: Result): void {
      users++
      connections += handedTo
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    }

    const pending: Array<Promise<void>> = []
    for (const userId of userIds) {
      const result = dispatcher.deliver({ userId, payload }, origin, isForAll)
      if (result instanceof Promise) pending.push(result.then(count))
      else count(result)
    }
    await Promise.all(pending)
    return { id: payload.id, users, connections, outcomes }
  }

  return {
    async notify (userId, content, options) {
      const notification = compose(userId, content, options?.id)
      return { id: notification.payload.id, ...await dispatcher.deliver(notification, origin) }
    },

    async notifyMany (userIds, content, options) {
      assertUserIds(userIds)
      const unique = new Set(userIds)
      unique.forEach(assertUserId)
      return await routeToEach(unique, composePayload(content, options?.id))
    },

    async broadcast (content, options) {
      const payload = composePayload(content, options?.id)
      cluster?.broadcast({ id: payload.id, json: payload.json })
      return await routeToEach([...registry.users.keys()], payload, true)
    },

    register (userId, socket, request) {
      assertUserId(userId)
      return sockets.open(userId, socket, { request, isOwn: false }).id
    },

    unregister (userId, socket) {
      const connection = sockets.find(userId, socket)
      if (connection === undefined) return false
      sockets.release(connection)
      return true
    },

    disconnect (userId, code = closeCodes.disconnected, reason = 'disconnected by the application') {
      if (!isSendableCloseCode(code)) throw new errors.InvalidClose('code', '1000, 1001, 1007 to 1014 (but 1010), or 3000 to 4999', String(code))
      if (typeof reason !== 'string' || Buffer.byteLength(reason) > MAX_REASON_BYTES) {
        throw new errors.InvalidClose('reason', `a string of at most ${MAX_REASON_BYTES} bytes`, describeValue(reason))
      }
      cluster?.disconnect(userId, { code, reason })
      return sockets.disconnect(userId, code, reason)
    },

    async isOnline (userId) {
      assertUserId(userId)
      return registry.of(userId).length > 0 || await cluster?.isElsewhere(userId) === true
    },

    connections: userId => registry.of(userId).length,

    users: {
      get size () { return registry.users.size },
      has: userId => registry.users.has(userId),
      [Symbol.iterator]: () => registry.users.keys()
    },

    get size () {
      return registry.size
    },

    health,
    stats,

    trace (filter) {
      if (journal === undefined) throw new errors.NoJournal()
      return journal.trace(filter)
    }
  }
}

/** A string is iterable too, one character after the other, and never what was meant. */
function assertUserIds (userIds: unknown): void {
  if (typeof userIds === 'object' && userIds !== null && Symbol.iterator in userIds) return
  throw new errors.InvalidUserId('several, in an array, a set or another iterable', describeValue(userIds))
}
