import type { ConsumeMessage } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import type { DeadLetters } from './dead-letters.js'
import { toMessage, type Notification } from './message.js'
import type { Options } from './options.js'
import type { Registry } from './registry.js'
import type { Stats } from './stats.js'

/**
 * What became of a notification: handed to a socket; counted, as its user has no connection; in the dead-letter
 * queue, as its user has none.
 */
export type Outcome = 'sent' | 'offline' | 'dead-lettered'

export interface Routed {
  readonly outcome: Outcome
  /** How many connections it was handed to. */
  readonly connections: number
}

/** Where a notification came from, if from the queue. */
export interface Origin {
  readonly message: ConsumeMessage
  /** Aborts when the broker will deliver the message again. */
  readonly gone: AbortSignal
}

const OFFLINE: Routed = { outcome: 'offline', connections: 0 }
const DEAD_LETTERED: Routed = { outcome: 'dead-lettered', connections: 0 }

export type Router = ReturnType<typeof createRouter>

interface RouterParts {
  options: Options
  registry: Registry
  deadLetters: DeadLetters | undefined
  stats: Stats
  log: FastifyBaseLogger
}

/** Notification → outcome. The one place that knows what to do when nobody is there. */
export function createRouter ({ options, registry, deadLetters, stats, log }: RouterParts) {
  /**
   * Sends a notification to every connection of its user.
   * @returns its outcome: at once where it is known at once
   * @throws FST_NOTIFICATION_PUBLISH_FAILED, FST_NOTIFICATION_PUBLISH_TIMEOUT for one that is not from the queue
   */
  function route (notification: Notification, origin?: Origin): Routed | Promise<Routed> {
    let connections = 0
    for (const connection of registry.of(notification.userId)) {
      if (connection.send(notification.text)) connections++
    }
    if (connections === 0) return offline(notification, origin)
    stats.count('sent')
    return { outcome: 'sent', connections }
  }

  function offline (notification: Notification, origin: Origin | undefined): Routed | Promise<Routed> {
    const { id, userId } = notification
    log.debug({ notificationId: id, userId, policy: options.offline }, 'user offline')
    if (deadLetters !== undefined && options.offline === 'dead-letter') return deadLetter(deadLetters, notification, origin)
    stats.count('offline')
    return OFFLINE
  }

  async function deadLetter (letters: DeadLetters, notification: Notification, origin: Origin | undefined): Promise<Routed> {
    const detail = 'the user had no connection'
    if (origin !== undefined) await letters.add(origin.message, 'offline', detail, origin.gone)
    else await letters.addOwn(toMessage(notification), 'offline', detail)
    stats.count('dead-lettered', 'offline')
    return DEAD_LETTERED
  }

  return { route }
}
