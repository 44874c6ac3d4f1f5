import type { FastifyBaseLogger } from 'fastify'
import type { Relays } from '../cluster/index.js'
import { timesBefore } from '../rabbitmq/age-headers.js'
import { steadyNow } from '../clock.js'
import type { Connection } from '../websocket/connection.js'
import type { DeadLetters } from '../rabbitmq/dead-letters.js'
import { Delivery, type Origin, type Outcome, type Routed } from './delivery.js'
import type { HoldStore } from '../hold/index.js'
import { createLines, type Lines } from './hold-drain.js'
import { createInFlight } from './in-flight.js'
import type { Notification } from '../rabbitmq/message.js'
import { createOfflinePolicy } from './offline.js'
import type { Options } from '../options/schema.js'
import type { Payload } from './payload.js'
import type { Registry } from './registry.js'
import type { Stats } from '../observability/stats.js'
import { createWaiting } from './waiting.js'

export type Router = ReturnType<typeof createRouter>

interface RouterParts {
  options: Options
  registry: Registry
  deadLetters: DeadLetters | undefined
  /** With `offline: 'hold'`. */
  store: HoldStore | undefined
  /** With `cluster: true`: the way to the other instances. */
  relays: Relays | undefined
  stats: Stats
  log: FastifyBaseLogger
  /** What was in the hold has reached somebody. */
  released: ((userId: string, id: string, routed: Routed) => void) | undefined
  /** What was to be held was in the hold already. */
  repeated: ((notification: Notification) => void) | undefined
  /** A connection has left something unacknowledged for too long. */
  onOverdue (connection: Connection): void
}

/** Notification → outcome. The one place that knows what to do when nobody is there. */
export function createRouter ({ options, registry, deadLetters, store, relays, stats, log, released, repeated, onOverdue }: RouterParts) {
  const inFlight = createInFlight({ options, registry, settled: delivered, onOverdue })
  const lines = store && createLines({ store, registry, inFlight, log, kept, failed, abandoned: abandon, settledLate })
  const waiting = createWaiting(offer)
  const offline = createOfflinePolicy({ deadLetters: options.offline === 'dead-letter' ? deadLetters : undefined, stats, log })
  /** Nothing waits: what a socket takes has its outcome at once, and so has what none takes. */
  const isDirect = options.settle === 'sent' && lines === undefined && relays === undefined
  /** Other instances, and whoever shares the Redis, compare these times with their own: they need the wall clock. */
  const now = options.cluster || options.hold.redis !== undefined ? Date.now : steadyNow
  let lastPosition = 0
  let isClosing = false

  /**
   * Sends a notification to every connection of its user.
   * @param origin where it came from, if from the queue
   * @param isForAll whether the other instances have been told already
   * @param before what it was until now, whose place it has
   * @returns its outcome: at once where it is known at once
   * @throws FST_NOTIFICATION_PUBLISH_FAILED, FST_NOTIFICATION_PUBLISH_TIMEOUT, FST_NOTIFICATION_HOLD_FAILED for one that
   *   is not from the queue
   */
  function route (notification: Notification, origin?: Origin, isForAll = false, before?: Delivery): Routed | Promise<Routed> {
    if (isDirect) return routeDirectly(notification, origin)
    const { userId, payload } = notification
    const same = find(userId, payload.id) ?? relays?.find(userId, payload.id)
    if (same !== undefined) {
      // Between the two deliveries another instance may have had it, and a client may have seen it.
      if (origin?.message.fields.redelivered === true) same.redelivered = true
      if (same.kind === 'guest' || origin === undefined) return follow(same, notification, origin, isForAll)
      // It is in the hold until a client acknowledges it.
      if (same.kind === 'held') return { outcome: 'held', connections: 0 }
      // The broker delivers again what it waits for: the outcome is that of what is under way.
      same.origin = origin
      return same.routed
    }
    const time = now()
    lastPosition = Math.max(lastPosition + 1, Math.floor(time * 1_000)) // the wall clock may go back, an order may not
    const fresh = { position: before?.position ?? lastPosition, expiresAt: time + expirationOf(origin) }
    const given = lines && timesBefore(origin?.message.properties.headers, fresh, now, options.hold.maxAge)
    const { position, expiresAt } = given ?? fresh
    const delivery = new Delivery(notification, position, expiresAt, origin)
    if (before !== undefined || given !== undefined) delivery.redelivered = true
    place(delivery, isForAll)
    return delivery.routed
  }

  /**
   * The outcome is that of what is under way, unless somebody else has to see to that one: another instance, which has
   * asked whether somebody here takes it, and may be gone by now; or the broker, which delivers it again.
   */
  async function follow (same: Delivery, notification: Notification, origin: Origin | undefined, isForAll: boolean): Promise<Routed> {
    const isGuest = same.kind === 'guest'
    const routed = await Promise.resolve(same.routed).catch((error: unknown) => {
      if (!isGuest && !same.isGone) throw error
    })
    if (routed === undefined || (isGuest && routed.outcome === 'offline')) return await route(notification, origin, isForAll, same)
    if (isGuest && routed.outcome !== 'dead-lettered') stats.count(routed.outcome)
    return routed
  }

  /** What of a user is under way here under an id. */
  function find (userId: string, id: string): Delivery | undefined {
    return inFlight.find(userId, id) ?? waiting.find(userId, id)
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

  /**
   * Hands a delivery over, or lets it wait. An unexpected error is that of this delivery alone: who waits for its outcome
   * is told, and the others go on.
   */
  function place (delivery: Delivery, isForAll = false): void {
    try {
      placeNow(delivery, isForAll)
    } catch (error) {
      failed(delivery, error)
    }
  }

  /** For one that waits: whether it need not wait any longer. */
  function offer (delivery: Delivery): boolean {
    try {
      return inFlight.offer(delivery)
    } catch (error) {
      failed(delivery, error)
      return true
    }
  }

  function placeNow (delivery: Delivery, isForAll: boolean): void {
    const { userId, kind } = delivery
    const isHere = registry.of(userId).length > 0
    const isBehind = lines?.has(userId) === true || (isHere && waiting.has(userId))
    delivery.isWaiting = false
    if (delivery.isGone && !isHere) return abandon(delivery)
    // What is behind something that is on its way into the hold must not overtake it by way of another instance.
    const isRelayed = relays !== undefined && kind === 'own' && !isForAll && (isHere ? delivery.relay === undefined : !isBehind)
    if (isRelayed) relays.send(delivery)
    if (!isBehind && inFlight.offer(delivery)) return
    if (isHere || isBehind) wait(delivery)
    else if (!isRelayed) nobody(delivery)
  }

  /** Nobody can take a delivery now. */
  function wait (delivery: Delivery): void {
    if (goesBack(delivery)) return
    if (lines !== undefined) return hold(lines, delivery)
    delivery.isWaiting = true
    waiting.add(delivery)
  }

  /** The user has no connection, on whichever instance; where that is known, it is so while we are closing, too. */
  function nobody (delivery: Delivery, isKnown = false): void {
    if (delivery.kind === 'guest') return delivery.settle('offline')
    if ((delivery.isGone || !isKnown) && goesBack(delivery)) return
    if (lines !== undefined) hold(lines, delivery)
    else giveUp(delivery)
  }

  function hold (lines: Lines, delivery: Delivery): void {
    delivery.isWaiting = true
    lines.add(delivery)
  }

  /** The broker delivers it again: whoever has joined it asks anew, and so does what is delivered again. */
  function abandon (delivery: Delivery): void {
    delivery.abandon()
    relays?.failed(delivery)
  }

  /** Whether the broker delivers a message again: its channel has died, which is told; or we are closing, and it is not settled. */
  function goesBack (delivery: Delivery): boolean {
    if (delivery.isGone) abandon(delivery)
    return delivery.isGone || (isClosing && delivery.origin !== undefined)
  }

  function giveUp (delivery: Delivery): void {
    const { origin } = delivery
    const outcome = offline(delivery.notification, origin)
    if (!(outcome instanceof Promise)) return conclude(delivery, outcome.outcome)
    delivery.isWaiting = true // however long it takes, the other instances are not asked again
    outcome.then(({ outcome }) => conclude(delivery, outcome), (error: unknown) => {
      if (delivery.origin !== origin) giveUp(delivery) // another message has joined meanwhile, which is not lost with this one
      else failed(delivery, error)
    })
  }

  /** Nobody takes it over, and who has called notify() is told. */
  function failed (delivery: Delivery, error: unknown): void {
    delivery.fail(error)
    relays?.failed(delivery)
  }

  /** Somebody here has it. */
  function delivered (delivery: Delivery, outcome: 'sent' | 'acknowledged'): void {
    const { kind } = delivery
    if (kind === 'held') {
      const { userId, id, connections } = delivery
      lines!.remove(userId, id)
      stats.count('released')
      released?.(userId, id, { outcome, connections })
    }
    // The other instances may have connections of the user too.
    if (outcome === 'sent' && relays?.isUnderWay(delivery) === true) delivery.isSentHere = true
    else settle(delivery, outcome)
  }

  /** It is in the hold, perhaps since a delivery before this one; or is not, as there was no room for it. */
  function kept (delivery: Delivery, outcome: 'held' | 'known' | 'offline'): void {
    const { userId, id } = delivery
    if (!delivery.isSettled && outcome === 'known') {
      repeated?.(delivery.notification)
      conclude(delivery, 'held') // it has been counted
    } else if (!delivery.isSettled && outcome !== 'known') settle(delivery, outcome)
    // Somebody else has it meanwhile. Or has put it into the same hold: then it is the only one.
    else if (delivery.outcome !== 'held') lines!.remove(userId, id)
    // By now the user may have a connection elsewhere; those here may be full, or gone without a word.
    relays?.wake(userId)
  }

  /** A client has said that it has what went into the hold when its connection was given up. */
  function settledLate (userId: string, id: string): void {
    stats.count('released')
    stats.count('acknowledged')
    released?.(userId, id, { outcome: 'acknowledged', connections: 1 })
  }

  function settle (delivery: Delivery, outcome: 'sent' | 'acknowledged' | 'held' | 'offline'): void {
    if (delivery.kind !== 'guest') stats.count(outcome) // else its own instance counts it
    conclude(delivery, outcome)
  }

  function conclude (delivery: Delivery, outcome: Outcome): void {
    delivery.settle(outcome)
    relays?.settled(delivery, outcome)
  }

  /** There may be room at a user's connections. */
  function changed (userId: string): void {
    lines?.changed(userId)
    waiting.changed(userId)
  }

  return {
    route,

    /** Another instance asks for connections here: the outcome is `offline` where there is none that takes it. */
    host (delivery: Delivery): Routed | Promise<Routed> {
      const { userId, id } = delivery
      const same = find(userId, id) // another one of the queue's redeliveries
      if (same !== undefined) {
        if (delivery.redelivered) same.redelivered = true
        return same.routed
      }
      if (registry.of(userId).length === 0) nobody(delivery)
      else place(delivery)
      return delivery.routed
    },

    /** Another instance tells the outcome of a delivery, or that it has handed it to so many connections. */
    settledElsewhere (delivery: Delivery, outcome: 'sent' | 'acknowledged' | 'held', connections: number): void {
      if (delivery.isSettled) return
      delivery.connections += connections
      if (outcome === 'held' && lines !== undefined) inFlight.held(delivery)
      else inFlight.release(delivery, outcome === 'acknowledged')
      if (delivery.kind === 'own') stats.count('relayed')
      settle(delivery, outcome)
      changed(delivery.userId)
    },

    /** Every other instance that has the user has a delivery, or none has. */
    relayed (delivery: Delivery, isElsewhere: boolean): void {
      if (delivery.isSettled || delivery.isWaiting) return
      if (delivery.isSentHere) return settle(delivery, 'sent')
      if (isElsewhere || delivery.holders > 0) return
      if (registry.of(delivery.userId).length > 0) return place(delivery)
      try {
        nobody(delivery, true)
      } catch (error) {
        failed(delivery, error)
      }
    },

    /** Another instance sends something to everybody. */
    broadcast (payload: Payload, send = route): void {
      for (const userId of [...registry.users.keys()]) {
        Promise.resolve(send({ userId, payload }, undefined, true)).catch((err: unknown) => log.debug({ err, userId }, 'broadcast not delivered'))
      }
    },

    /** Something of a user is in the hold. */
    wake (userId: string): void {
      if (registry.of(userId).length > 0) lines?.opened(userId)
    },

    /** A connection is in the registry. */
    opened ({ userId }: Connection): void {
      lines?.opened(userId)
      waiting.changed(userId)
      // What other instances were asked to take, and may not have, comes before anything newer.
      for (const delivery of relays?.left(userId) ?? []) {
        delivery.redelivered = true
        place(delivery)
      }
    },

    /** A client says what it has. */
    acknowledged (connection: Connection, ids: readonly string[]): void {
      const { userId } = connection
      const unknown = inFlight.acknowledged(connection, ids)
      if (options.settle === 'sent') return // nothing waits for an ack
      // Those of a connection that was given up already. What another one has by now is settled by that.
      for (const id of unknown) lines?.remove(userId, id, inFlight.find(userId, id) === undefined)
      changed(userId)
    },

    /** A connection has left the registry: what it has not acknowledged goes to another one, or waits. */
    ended (connection: Connection): void {
      const { userId } = connection
      let isInHold = lines?.has(userId) === true
      for (const delivery of inFlight.ended(connection)) {
        delivery.redelivered = true
        if (delivery.kind === 'held') {
          isInHold = true
          delivery.settle('held') // for who has joined it
          lines!.released(delivery)
        } else {
          place(delivery)
        }
      }
      if (isDirect) return
      changed(userId)
      if (registry.of(userId).length > 0) return
      for (const delivery of waiting.take(userId)) if (!delivery.isSettled) place(delivery)
      if (isInHold) relays?.wake(userId)
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
