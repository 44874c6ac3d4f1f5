import { broadcastTo } from './broadcast.js'
import { closeCodes, isSendableCloseCode, MAX_REASON_BYTES } from './close-codes.js'
import type { Cluster } from './cluster/index.js'
import type { Dispatcher } from './delivery/dispatcher.js'
import type { Origin } from './delivery/doors.js'
import { assertUserId, compose, composePayload, describeValue } from './delivery/notification.js'
import type { Registry } from './delivery/registry.js'
import { errors } from './errors.js'
import type { Notifier } from './notifier.js'
import type { Health } from './observability/health.js'
import type { Journal } from './observability/journal.js'
import type { StatsSnapshot } from './observability/stats.js'
import type { Sockets } from './websocket/sockets.js'

interface NotifierParts {
  registry: Registry
  dispatcher: Pick<Dispatcher, 'deliver'>
  /** The origin of notifications that come from a call. */
  origin: Origin
  sockets: Sockets
  /** With `cluster: true`. */
  cluster: Cluster | undefined
  health (): Health
  stats (): StatsSnapshot
  journal: Journal | undefined
}

/** Makes `fastify.notifier`. Its methods use no `this`, so that an application may pass them on by themselves. */
export function createNotifier ({ registry, dispatcher, origin, sockets, cluster, health, stats, journal }: NotifierParts): Notifier {
  return {
    async notify (userId, content, options) {
      const notification = compose(userId, content, options?.id)
      return { id: notification.payload.id, ...await dispatcher.deliver(notification, origin) }
    },

    async notifyMany (userIds, content, options) {
      assertUserIds(userIds)
      const unique = new Set(userIds)
      unique.forEach(assertUserId)
      return await broadcastTo(unique, composePayload(content, options?.id), dispatcher, origin)
    },

    async broadcast (content, options) {
      const payload = composePayload(content, options?.id)
      cluster?.broadcast({ id: payload.id, json: payload.json })
      return await broadcastTo([...registry.users.keys()], payload, dispatcher, origin, true)
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

/** A string is iterable too, but nobody means its characters to be user ids. */
function assertUserIds (userIds: unknown): void {
  if (typeof userIds === 'object' && userIds !== null && Symbol.iterator in userIds) return
  throw new errors.InvalidUserId('several, in an array, a set or another iterable', describeValue(userIds))
}
