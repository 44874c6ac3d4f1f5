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
 * How long a message near the delivery limit may wait for its outcome before it is moved, in milliseconds. A client needs
 * this time to acknowledge it, or the hold to keep it.
 */
const ATTEMPT_TIMEOUT = 5_000

/** The interval between two checks whether dead letters can be published, in milliseconds. */
const CHECK_INTERVAL = 20

/** The queue side: everything that is connected to RabbitMQ. */
export interface Broker {
  /** The queue that the hold is published back to when this process ends. */
  readonly queue: string
  readonly consumers: readonly Consumer[]
  readonly publisher: Publisher
  readonly deadLetters: DeadLetters
  /**
   * Connects, and begins to consume.
   * @param timeout the time limit with `startup: 'fail'`, in milliseconds
   * @throws FST_NOTIFICATION_BROKER_UNREACHABLE, FST_NOTIFICATION_BROKER_REFUSED, FST_NOTIFICATION_UNUSABLE_QUEUE
   */
  start (timeout: number): Promise<void>
  /**
   * Accepts no more messages, and no more requests of peers. Resolves when every message is settled, or after the timeout.
   * @param timeout in milliseconds
   */
  drain (timeout: number): Promise<void>
  /** @param timeout in milliseconds */
  close (timeout: number): Promise<void>
}

/** Another part that uses the broker: it is started and closed together with it. */
export interface BrokerExtension extends Required<PublisherHooks> {
  /**
   * Connects.
   * @param timeout the time limit with `startup: 'fail'`, in milliseconds
   */
  start (timeout: number): Promise<void>
  /** Consumes nothing more. Called once before `close()` and once during it. */
  leave (timeout: number): Promise<void>
  /** Sends the messages that wait to be published. */
  close (): Promise<void>
}

export interface BrokerParts {
  options: BrokerOptions
  /** The outcome of a message became known only after its channel had died. */
  abandoned (): void
  observer: Observer
  dispatcher: Pick<Dispatcher, 'deliver'>
  log: FastifyBaseLogger
  /** With `cluster: true`: creates the part that exchanges messages with peers. */
  extend: ((publisher: Publisher) => BrokerExtension) | undefined
}

export function createBroker ({ options, abandoned, observer, dispatcher, log, extend }: BrokerParts): Broker {
  const publisher: Publisher = new Publisher(options, log, () => extension)
  const extension = extend?.(publisher)
  const deadLetters = createDeadLetters(options, publisher, log)
  const queues = queuesOf(options)
  const consumers = queues.map(queue => new Consumer({ options, queue, handlers: { handle: receive, failed, abandoned }, deadLetters, whenMovable, log }))

  /** Every message of every queue comes in here. */
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

  /** Moves a message to the dead-letter queue before the broker drops it. Skips that if the outcome is known soon. */
  async function rescue (notification: Notification, message: QueueMessage, { deliveryCount, deliveryLimit, treatment }: NearLimit): Promise<Result | void> {
    if (treatment === 'attempt') {
      const result = dispatcher.deliver(notification, message)
      if (!(result instanceof Promise) || await withTimeout(ATTEMPT_TIMEOUT, result, message.gone)) return await result
    }
    // A client that got the message may still acknowledge it. Then it is in the dead-letter queue too.
    message.isMoved = true
    const detail = `returned ${deliveryCount} times, and the broker drops it beyond ${deliveryLimit}`
    await deadLetter(message, 'delivery-limit', detail, notification)
  }

  /** Resolves when dead letters can be published, or after `connectTimeout`. */
  async function whenMovable (): Promise<void> {
    const deadline = performance.now() + options.connectTimeout
    while (['connecting', 'blocked'].includes(publisher.connection.state) && performance.now() < deadline) await delay(CHECK_INTERVAL)
  }

  /** A client may have got the message before the error. A copy in the dead-letter queue is better than a lost message. */
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
      // Consumers start last: they need the publisher and the peers.
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
