import type { FastifyBaseLogger } from 'fastify'
import type { Origin, Result } from './doors.js'
import type { Notification } from './notification.js'

const OFFLINE: Result = { outcome: 'offline', connections: 0 }
const DEAD_LETTERED: Result = { outcome: 'dead-lettered', connections: 0 }

/** Follows the option `offline` where nothing is held: drops a notification, or puts it into the dead-letter queue. */
export type OfflinePolicy = (notification: Notification, origin: Origin) => Result | Promise<Result>

/** @param offline with `hold`, the hold settles what it can't keep: this policy is not asked */
export function createOfflinePolicy (offline: 'drop' | 'dead-letter' | 'hold', log: FastifyBaseLogger): OfflinePolicy {
  return (notification, origin) => {
    const { userId, payload: { id } } = notification
    log.debug({ notificationId: id, userId, policy: offline }, 'user offline')
    return offline === 'dead-letter' ? origin.deadLetter(notification, 'offline').then(() => DEAD_LETTERED) : OFFLINE
  }
}
