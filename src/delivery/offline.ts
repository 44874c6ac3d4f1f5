import type { FastifyBaseLogger } from 'fastify'
import type { DeadLetters } from '../rabbitmq/dead-letters.js'
import type { Origin, Routed } from './delivery.js'
import { toMessage, type Notification } from '../rabbitmq/message.js'
import type { Stats } from '../observability/stats.js'

const OFFLINE: Routed = { outcome: 'offline', connections: 0 }
const DEAD_LETTERED: Routed = { outcome: 'dead-lettered', connections: 0 }

interface OfflineParts {
  /** With `offline: 'dead-letter'`. */
  deadLetters: DeadLetters | undefined
  stats: Stats
  log: FastifyBaseLogger
}

/** What becomes of a notification whose user has no connection, where nothing is held. */
export function createOfflinePolicy ({ deadLetters, stats, log }: OfflineParts) {
  async function deadLetter (letters: DeadLetters, notification: Notification, origin: Origin | undefined): Promise<Routed> {
    const detail = 'the user had no connection'
    if (origin !== undefined) await letters.add(origin, 'offline', detail)
    else await letters.addOwn(toMessage(notification), 'offline', detail)
    stats.count('dead-lettered', 'offline')
    return DEAD_LETTERED
  }

  return function offline (notification: Notification, origin: Origin | undefined): Routed | Promise<Routed> {
    const { userId, payload: { id } } = notification
    log.debug({ notificationId: id, userId, policy: deadLetters === undefined ? 'drop' : 'dead-letter' }, 'user offline')
    if (deadLetters !== undefined) return deadLetter(deadLetters, notification, origin)
    stats.count('offline')
    return OFFLINE
  }
}
