import type { Cluster } from './cluster/index.js'
import type { Dispatcher } from './delivery/dispatcher.js'
import type { Origin } from './delivery/doors.js'
import type { FanOut } from './delivery/fan-out.js'
import { MAX_NAMED, Multicast, type Audience, type Summary } from './delivery/multicast.js'
import { assertGroup, assertUserId, compose, composePayload, describeValue } from './delivery/notification.js'
import type { Payload } from './delivery/payload.js'
import type { Registry } from './delivery/registry.js'
import { errors } from './errors.js'
import type { DisconnectOptions, Notifier, NotifyManyResult } from './notifier.js'
import type { Health } from './observability/health.js'
import type { Journal } from './observability/journal.js'
import type { StatsSnapshot } from './observability/stats.js'
import type { Waits } from './observability/waits.js'
import { toDisconnect } from './websocket/disconnect.js'
import type { Sockets } from './websocket/sockets.js'

interface NotifierParts {
  registry: Registry
  dispatcher: Pick<Dispatcher, 'deliver'>
  fanOut: Pick<FanOut, 'deliver' | 'deliverHere'>
  /** The origin of notifications that come from a call. */
  origin: Origin
  sockets: Sockets
  /** With `cluster: true`. */
  cluster: Cluster | undefined
  health (): Health
  stats (): StatsSnapshot
  journal: Journal | undefined
  waits: Waits
}

/** Makes `fastify.notifier`. Its methods use no `this`, so that an application may pass them on by themselves. */
export function createNotifier ({ registry, dispatcher, fanOut, origin, sockets, cluster, health, stats, journal, waits }: NotifierParts): Notifier {
  async function deliverToMany (audience: Audience, payload: Payload): Promise<NotifyManyResult> {
    return toResult(payload, await fanOut.deliver(new Multicast(audience, payload), origin))
  }

  return {
    async notify (userId, content, options) {
      const notification = compose(userId, content, idOf(options))
      return { id: notification.payload.id, ...await dispatcher.deliver(notification, origin) }
    },

    async notifyMany (userIds, content, options) {
      assertUserIds(userIds)
      const unique = new Set(userIds)
      unique.forEach(assertUserId)
      return await deliverToMany({ userIds: unique }, composePayload(content, idOf(options)))
    },

    async notifyGroup (group, content, options) {
      assertGroup(group)
      return await deliverToMany({ group, except: toExcept(options?.except) }, composePayload(content, idOf(options)))
    },

    async broadcast (content, options) {
      const except = toExcept(options?.except)
      const payload = composePayload(content, idOf(options))
      cluster?.toAll.broadcast({ id: payload.id, json: payload.json, ...(except.size > 0 && { except: [...except] }) })
      return toResult(payload, await fanOut.deliverHere({ group: undefined, except }, payload, origin))
    },

    async join (userId, group) {
      assertUserId(userId)
      assertGroup(group)
      const { count, reachable } = sockets.join(userId, group)
      cluster?.toAll.changeGroup({ userId, group, joins: true })
      await reachable
      return count
    },

    async leave (userId, group) {
      assertUserId(userId)
      assertGroup(group)
      cluster?.toAll.changeGroup({ userId, group, joins: false })
      return sockets.leave(userId, group)
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

    disconnect (userId: string, how?: number | DisconnectOptions, reason?: string) {
      if (typeof userId !== 'string') assertUserId(userId) // a number is nobody's id, and the user would stay
      const disconnect = toDisconnect(how, reason)
      cluster?.toAll.disconnect(userId, disconnect)
      return sockets.disconnect(userId, disconnect)
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

    trace (filter?: unknown) {
      if (journal === undefined) throw new errors.NoJournal()
      return journal.trace(filter, waits)
    }
  }
}

function toResult ({ id }: Payload, { users, connections, outcomes }: Summary): NotifyManyResult {
  return { id, users, connections, outcomes }
}

/** @throws FST_NOTIFICATION_INVALID_EXCEPT, FST_NOTIFICATION_INVALID_USER_ID */
function toExcept (except: Iterable<string> = []): ReadonlySet<string> {
  const rule = `an array, a set or another iterable of at most ${MAX_NAMED} user ids`
  if (typeof except !== 'object' || except === null || !(Symbol.iterator in except)) throw new errors.InvalidExcept(rule, describeValue(except))
  const unique = new Set(except)
  unique.forEach(assertUserId)
  if (unique.size > MAX_NAMED) throw new errors.InvalidExcept(rule, String(unique.size))
  return unique
}

/** A string is iterable too, but nobody means its characters to be user ids. */
function assertUserIds (userIds: unknown): void {
  if (typeof userIds === 'object' && userIds !== null && Symbol.iterator in userIds) return
  throw new errors.InvalidUserId('several, in an array, a set or another iterable', describeValue(userIds))
}

/** An id that is given without its object would be ignored. TypeScript refuses it, JavaScript does not. */
function idOf (options: { id?: string } | undefined): string | undefined {
  if (typeof options === 'string' || typeof options === 'number') throw new errors.InvalidId("in an object, as in { id: 'order-7' }", describeValue(options))
  return options?.id
}
