import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { exchangeOf, NOBODY } from '../cluster/exchange.js'
import { createCluster, type Cluster, type Hosts } from '../cluster/index.js'
import { createConsumer, type Consumer } from './consumer.js'
import { createDeadLetters, type DeadLetterReason, type DeadLetters } from './dead-letters.js'
import type { NearLimit, Origin, Routed } from '../delivery/delivery.js'
import type { Journal } from '../observability/journal.js'
import { decode, InvalidMessage, type Notification } from './message.js'
import type { Times } from '../observability/metrics/index.js'
import { queuesOf, type BrokerOptions } from '../options/schema.js'
import { createPublisher, type Publisher } from './publisher.js'
import type { Registry } from '../delivery/registry.js'
import type { Stats } from '../observability/stats.js'
import { Teardown } from '../teardown.js'
import type { Tracing } from '../observability/tracing.js'
import { within } from '../with-timeout.js'
import { withoutText } from '../observability/without-text.js'

/**
 * How long a message that comes close to the delivery limit may wait for its outcome before it is moved, in milliseconds:
 * time for a client to acknowledge it, or for the hold to keep it.
 */
const ATTEMPT_TIMEOUT = 5_000

/** How often is looked whether dead letters can be published, in milliseconds. */
const LOOK_INTERVAL = 20

/** Everything that speaks to RabbitMQ. */
export interface Broker {
  /** The queue to which goes what this process gives back. */
  readonly queue: string
  readonly consumers: readonly Consumer[]
  readonly publisher: Publisher
  readonly deadLetters: DeadLetters
  /** With `cluster: true`. */
  readonly cluster: Cluster | undefined
  /**
   * Connects, and begins to consume.
   * @param timeout with `startup: 'fail'`, how long that may take in all, in milliseconds
   * @throws FST_NOTIFICATION_BROKER_UNREACHABLE, FST_NOTIFICATION_BROKER_REFUSED, FST_NOTIFICATION_UNUSABLE_QUEUE
   */
  start (timeout: number): Promise<void>
  /**
   * Takes no more messages, and resolves when what is in flight is settled; other instances reach nobody here any more.
   * @param timeout how long that may take, in milliseconds
   */
  drain (timeout: number): Promise<void>
  /** @param timeout how long that may take, in milliseconds */
  close (timeout: number): Promise<void>
}

export interface BrokerParts {
  options: BrokerOptions
  registry: Registry
  stats: Stats
  log: FastifyBaseLogger
  /** Takes a notification over; its outcome is known at once, or later. */
  route (notification: Notification, origin: Origin): Routed | Promise<Routed>
  /** What other instances may ask. */
  hosts: Hosts
  journal: Journal | undefined
  tracing: Tracing | undefined
  /** With `metrics`. */
  times: Times | undefined
}

export function createBroker ({ options, registry, stats, log, route, hosts, journal, tracing, times }: BrokerParts): Broker {
  const publisher: Publisher = createPublisher(options, log, options.cluster
    ? {
        prepare: async model => { await cluster?.prepare(model) },
        exchanges: [{ name: exchangeOf(options), nobody: NOBODY }],
        opened: () => cluster?.resume()
      }
    : {})
  const cluster = options.cluster ? createCluster({ options, registry, publisher, stats, log, hosts, times }) : undefined
  const deadLetters = createDeadLetters(options, publisher, log)
  const queues = queuesOf(options)
  const timed = times?.timed(receive) ?? receive
  const handle = tracing?.process(timed) ?? timed
  const consumers = queues.map(queue => createConsumer({ options, queue, stats, log, handle, failed, whenMovable }))

  /** The one way in for what the queues deliver. */
  function receive (origin: Origin): Routed | Promise<Routed> {
    const decoded = decode(origin.message, options.limits.messageBytes)
    if (decoded instanceof InvalidMessage) return deadLetter(origin, decoded.reason, decoded.detail)
    return origin.nearLimit === undefined ? route(decoded, origin) : rescue(decoded, origin, origin.nearLimit)
  }

  async function deadLetter (origin: Origin, reason: DeadLetterReason, detail: string, notification?: Notification): Promise<Routed & { reason: DeadLetterReason }> {
    await deadLetters.add(origin, reason, detail)
    stats.count('dead-lettered', reason)
    journal?.deadLettered(origin, reason, notification)
    return { outcome: 'dead-lettered', connections: 0, reason }
  }

  /** Moves a message to the dead-letter queue before the broker drops it, unless its outcome is known soon. */
  async function rescue (notification: Notification, origin: Origin, { deliveryCount, deliveryLimit, treatment }: NearLimit): Promise<Routed> {
    if (treatment === 'attempt') {
      const outcome = route(notification, origin)
      if (!(outcome instanceof Promise) || await within(ATTEMPT_TIMEOUT, outcome, origin.gone)) return await outcome
    }
    // A client that has it may still acknowledge it: then it is in both places.
    origin.isMoved = true
    const detail = `returned ${deliveryCount} times, and the broker drops it beyond ${deliveryLimit}`
    return await deadLetter(origin, 'delivery-limit', detail, notification)
  }

  /** Resolves when dead letters can be published, or after the time that connecting may take. */
  async function whenMovable (): Promise<void> {
    const deadline = performance.now() + options.connectTimeout
    while (['connecting', 'blocked'].includes(publisher.connection.state) && performance.now() < deadline) await delay(LOOK_INTERVAL)
  }

  /** A client may have the message already: to find it in the dead-letter queue too is better than to lose it. */
  async function failed (origin: Origin, error: unknown): Promise<void> {
    const { name, code } = withoutText(error)
    await deadLetter(origin, 'internal-error', `an unexpected error: ${code ?? name}`)
  }

  return {
    queue: queues[0],
    consumers,
    publisher,
    deadLetters,
    cluster,

    async start (timeout) {
      const deadline = performance.now() + timeout
      // What consumes comes last: before, nothing could be passed on.
      await Promise.all([publisher.connection.start(timeout), cluster?.connection.start(timeout)])
      await Promise.all(consumers.map(({ connection }) => connection.start(Math.max(0, deadline - performance.now()))))
    },

    async drain (timeout) {
      const deadline = performance.now() + timeout
      const teardown = new Teardown(log)
      await Promise.all(consumers.map(consumer => teardown.try(() => consumer.drain(timeout))))
      await teardown.try(() => cluster?.leave(Math.max(0, deadline - performance.now())))
      teardown.end()
    },

    async close (timeout) {
      const teardown = new Teardown(log)
      await teardown.try(() => cluster?.close())
      const connections = [...consumers.map(({ connection }) => connection), publisher.connection]
      await Promise.all([
        teardown.try(() => cluster?.leave(timeout)),
        ...connections.map(connection => teardown.try(() => connection.close(timeout)))
      ])
      teardown.end()
    }
  }
}
