import type { FastifyBaseLogger } from 'fastify'
import type { Connection } from './connection.js'
import type { DeadLetters } from './dead-letters.js'
import { Delivery, type Origin, type Routed } from './delivery.js'
import type { HoldStore } from './hold/index.js'
import { createLines } from './hold/lines.js'
import { createInFlight } from './in-flight.js'
import { toMessage, type Notification } from './message.js'
import type { Options } from './options.js'
import type { Registry } from './registry.js'
import type { Stats } from './stats.js'
import { createWaiting } from './waiting.js'

const OFFLINE: Routed = { outcome: 'offline', connections: 0 }
const DEAD_LETTERED: Routed = { outcome: 'dead-lettered', connections: 0 }

export type Router = ReturnType<typeof createRouter>

interface RouterParts {
  options: Options
  registry: Registry
  deadLetters: DeadLetters | undefined
  /** With `offline: 'hold'`. */
  store: HoldStore | undefined
  stats: Stats
  log: FastifyBaseLogger
  /** A connection has left something unacknowledged for too long. */
  onOverdue (connection: Connection): void
}

/** Notification → outcome. The one place that knows what to do when nobody is there. */
export function createRouter ({ options, registry, deadLetters, store, stats, log, onOverdue }: RouterParts) {
  const inFlight = createInFlight({ options, registry, settled, onOverdue })
  const lines = store && createLines({ store, registry, inFlight, log, kept: settle })
  const waiting = createWaiting(inFlight.offer)
  /** Nothing waits: what a socket takes has its outcome at once, and so has what none takes. */
  const isDirect = options.settle === 'sent' && lines === undefined
  let lastPosition = 0
  let isClosing = false

  /**
   * Sends a notification to every connection of its user.
   * @returns its outcome: at once where it is known at once
   * @throws FST_NOTIFICATION_PUBLISH_FAILED, FST_NOTIFICATION_PUBLISH_TIMEOUT, FST_NOTIFICATION_HOLD_FAILED for one that
   *   is not from the queue
   */
  function route (notification: Notification, origin?: Origin): Routed | Promise<Routed> {
    if (isDirect) return routeDirectly(notification, origin)
    const { userId, payload } = notification
    const same = inFlight.find(userId, payload.id)
    if (same !== undefined) {
      // The broker delivers again what it waits for: the outcome is that of what is under way.
      if (origin !== undefined) same.origin = origin
      return same.routed
    }
    const now = Date.now()
    lastPosition = Math.max(lastPosition + 1, now * 1_000)
    const delivery = new Delivery(notification, lastPosition, now + expirationOf(origin), origin)
    place(delivery)
    return delivery.routed
  }

  function routeDirectly (notification: Notification, origin: Origin | undefined): Routed | Promise<Routed> {
    let connections = 0
    const redelivered = origin?.message.fields.redelivered
    for (const connection of registry.of(notification.userId)) {
      if (connection.send(notification.payload, redelivered)) connections++
    }
    if (connections === 0) return offline(notification, origin)
    stats.count('sent')
    return { outcome: 'sent', connections }
  }

  /** Hands a delivery over, or lets it wait. */
  function place (delivery: Delivery): void {
    const { userId } = delivery
    const isBehind = lines?.has(userId) === true || waiting.has(userId)
    if (!isBehind && inFlight.offer(delivery)) return
    if (delivery.isGone) return // the broker delivers it again
    if (isClosing && delivery.origin !== undefined) return // it goes back to the queue
    if (lines !== undefined) lines.add(delivery)
    else if (registry.of(userId).length > 0) waiting.add(delivery)
    else giveUp(delivery)
  }

  function giveUp (delivery: Delivery): void {
    const outcome = offline(delivery.notification, delivery.origin)
    if (outcome instanceof Promise) outcome.then(({ outcome }) => delivery.settle(outcome), (error: unknown) => delivery.fail(error))
    else delivery.settle(outcome.outcome)
  }

  function offline (notification: Notification, origin: Origin | undefined): Routed | Promise<Routed> {
    const { userId, payload: { id } } = notification
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

  /** Somebody has it. */
  function settled (delivery: Delivery, outcome: 'sent' | 'acknowledged'): void {
    if (delivery.isHeld) {
      lines!.remove(delivery.userId, delivery.id)
      stats.count('released')
    }
    settle(delivery, outcome)
  }

  function settle (delivery: Delivery, outcome: 'sent' | 'acknowledged' | 'held' | 'offline'): void {
    stats.count(outcome)
    delivery.settle(outcome)
  }

  /** There may be room at a user's connections. */
  function changed (userId: string): void {
    lines?.changed(userId)
    waiting.changed(userId)
  }

  return {
    route,

    /** A connection is in the registry. */
    opened ({ userId }: Connection): void {
      lines?.opened(userId)
      waiting.changed(userId)
    },

    /** A client says what it has. */
    acknowledged (connection: Connection, ids: readonly string[]): void {
      const { userId } = connection
      const unknown = inFlight.acknowledged(connection, ids)
      // Those of a connection that was given up already.
      for (const id of unknown) lines?.remove(userId, id)
      if (!isDirect) changed(userId)
    },

    /** A connection has left the registry: what it has not acknowledged goes to another one, or waits. */
    ended (connection: Connection): void {
      const { userId } = connection
      for (const delivery of inFlight.ended(connection)) {
        delivery.redelivered = true
        if (delivery.isHeld) lines!.released(delivery)
        else place(delivery)
      }
      if (isDirect) return
      changed(userId)
      if (registry.of(userId).length === 0) waiting.take(userId).forEach(place)
    },

    /** To be called about once a second. */
    tick (): void {
      inFlight.tick()
    },

    /** What comes back from now on goes back to the queue. */
    drain (): void {
      isClosing = true
    },

    /** Resolves when what was on its way to the hold is there. */
    async close (): Promise<void> {
      await lines?.close()
    }
  }
}

/** How long a message may wait, in milliseconds (AMQP 0-9-1 basic.expiration, a number in a string). */
function expirationOf (origin: Origin | undefined): number {
  const expiration: unknown = origin?.message.properties.expiration
  return typeof expiration === 'string' && /^\d+$/.test(expiration) ? Number(expiration) : Infinity
}
