import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { Consumer } from './consumer.js'
import { createDeadLetters, type DeadLetters } from './dead-letters.js'
import type { Dispatcher } from '../delivery/dispatcher.js'
import type { DeadLetterReason, Observer, Result } from '../delivery/doors.js'
import type { Notification } from '../delivery/notification.js'
import { decode, InvalidMessage } from './message.js'
import { queuesOf, type BrokerOptions } from '../options/schema.js'
import { Publisher, type PublisherHooks } from './publisher.js'
import { Teardown } from '../teardown.js'
import type { NearLimit, QueueMessage } from './queue-message.js'
import { withTimeout } from '../with-timeout.js'
import { withoutText } from '../without-text.js'

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

/** What else uses the broker, and lives as long. */
export interface BrokerExtension extends Required<PublisherHooks> {
  /**
   * Connects.
   * @param timeout with `startup: 'fail'`, how long that may take, in milliseconds
   */
  start (timeout: number): Promise<void>
  /** Takes nothing more from the broker. To be called again when it is closed. */
  leave (timeout: number): Promise<void>
  /** Sends what waits to be published. */
  close (): Promise<void>
}

export interface BrokerParts {
  options: BrokerOptions
  /** An outcome was known only after the channel of its message had died. */
  abandoned (): void
  observer: Observer
  dispatcher: Pick<Dispatcher, 'deliver'>
  log: FastifyBaseLogger
  /** With `cluster: true`: makes what speaks to the other instances. */
  extend: ((publisher: Publisher) => BrokerExtension) | undefined
}

export function createBroker ({ options, abandoned, observer, dispatcher, log, extend }: BrokerParts): Broker {
  const publisher: Publisher = new Publisher(options, log, () => extension)
  const extension = extend?.(publisher)
  const deadLetters = createDeadLetters(options, publisher, log)
  const queues = queuesOf(options)
  const consumers = queues.map(queue => new Consumer({ options, queue, handlers: { handle: receive, failed, abandoned }, deadLetters, whenMovable, log }))

  /** The one way in for what the queues deliver. */
  function receive (message: QueueMessage): unknown {
    const decoded = decode(message.message, options.limits.messageBytes)
    observer.received(message, decoded instanceof InvalidMessage ? undefined : decoded)
    return observer.run === undefined ? take(message, decoded) : observer.run(message, () => take(message, decoded))
  }

  function take (message: QueueMessage, decoded: Notification | InvalidMessage): unknown {
    if (decoded instanceof InvalidMessage) return deadLetter(message, decoded.reason, decoded.detail)
    return message.nearLimit === undefined ? dispatcher.deliver(decoded, message) : rescue(decoded, message, message.nearLimit)
  }

  async function deadLetter (message: QueueMessage, reason: DeadLetterReason, detail: string, notification?: Notification): Promise<void> {
    await deadLetters.add(message, reason, detail)
    observer.rejected(message, reason, notification)
  }

  /** Moves a message to the dead-letter queue before the broker drops it, unless its outcome is known soon. */
  async function rescue (notification: Notification, message: QueueMessage, { deliveryCount, deliveryLimit, treatment }: NearLimit): Promise<Result | void> {
    if (treatment === 'attempt') {
      const result = dispatcher.deliver(notification, message)
      if (!(result instanceof Promise) || await withTimeout(ATTEMPT_TIMEOUT, result, message.gone)) return await result
    }
    // A client that has it may still acknowledge it: then it is in both places.
    message.isMoved = true
    const detail = `returned ${deliveryCount} times, and the broker drops it beyond ${deliveryLimit}`
    await deadLetter(message, 'delivery-limit', detail, notification)
  }

  /** Resolves when dead letters can be published, or after the time that connecting may take. */
  async function whenMovable (): Promise<void> {
    const deadline = performance.now() + options.connectTimeout
    while (['connecting', 'blocked'].includes(publisher.connection.state) && performance.now() < deadline) await delay(LOOK_INTERVAL)
  }

  /** A client may have the message already: to find it in the dead-letter queue too is better than to lose it. */
  async function failed (message: QueueMessage, error: unknown): Promise<void> {
    const { name, code } = withoutText(error)
    await deadLetter(message, 'internal-error', `an unexpected error: ${code ?? name}`)
  }

  return {
    queue: queues[0],
    consumers,
    publisher,
    deadLetters,

    async start (timeout) {
      const deadline = performance.now() + timeout
      // What consumes comes last: before, nothing could be passed on.
      await Promise.all([publisher.connection.start(timeout), extension?.start(timeout)])
      await Promise.all(consumers.map(({ connection }) => connection.start(Math.max(0, deadline - performance.now()))))
    },

    async drain (timeout) {
      const deadline = performance.now() + timeout
      const teardown = new Teardown(log)
      await Promise.all(consumers.map(consumer => teardown.try(() => consumer.drain(timeout))))
      await teardown.try(() => extension?.leave(Math.max(0, deadline - performance.now())))
      teardown.end()
    },

    async close (timeout) {
      const teardown = new Teardown(log)
      await teardown.try(() => extension?.close())
      const connections = [...consumers.map(({ connection }) => connection), publisher.connection]
      await Promise.all([
        teardown.try(() => extension?.leave(timeout)),
        ...connections.map(connection => teardown.try(() => connection.close(timeout)))
      ])
      teardown.end()
    }
  }
}
