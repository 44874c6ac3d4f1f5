import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { Consumer } from './consumer.js'
import type { Waiting } from '../delivery/waiting.js'
import { DeadLetters } from './dead-letters.js'
import { MessageIntake, type MessageIntakeParts } from './message-intake.js'
import { consumedQueues, queuesOf, type BrokerOptions } from '../options/schema.js'
import { Publisher, type PublisherHooks } from './publisher.js'
import { Teardown } from '../teardown.js'
import { UnsettledBytes } from './unsettled-bytes.js'

/** The interval between two checks whether dead letters can be published, in milliseconds. */
const CHECK_INTERVAL = 20

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

export interface BrokerParts extends Omit<MessageIntakeParts, 'deadLetters'> {
  /** The outcome of a message became known only after its channel had died. */
  abandoned (): void
  /** The state of a part has changed. */
  changed (): void
  log: FastifyBaseLogger
  /** With `cluster: true`: creates the part that exchanges messages with peers. */
  extend: ((publisher: Publisher) => BrokerExtension) | undefined
}

/** The queue side: everything that is connected to RabbitMQ. */
export class Broker {
  /** The queue that the hold is published back to when this process ends. */
  readonly queue: string
  readonly consumers: readonly Consumer[]
  readonly publisher: Publisher
  readonly deadLetters: DeadLetters
  /** The memory of the unsettled messages of all queues. */
  readonly memory: UnsettledBytes
  readonly #options: BrokerOptions
  readonly #intake: MessageIntake
  readonly #extension: BrokerExtension | undefined
  readonly #log: FastifyBaseLogger

  constructor ({ options, observer, dispatcher, fanOut, abandoned, changed, log, extend }: BrokerParts) {
    const publisher = this.publisher = new Publisher(options, log, changed, () => this.#extension)
    const deadLetters = this.deadLetters = new DeadLetters({ options, publisher, changed, log })
    const intake = this.#intake = new MessageIntake({ options, observer, dispatcher, fanOut, deadLetters })
    const handlers = {
      handle: intake.handle.bind(intake),
      failed: intake.fail.bind(intake),
      abandoned
    }
    this.#options = options
    this.memory = new UnsettledBytes(options.limits.unsettledBytes)
    this.#log = log
    this.#extension = extend?.(publisher)
    this.queue = queuesOf(options)[0]
    this.consumers = consumedQueues(options).map(source => new Consumer({ options, source, handlers, deadLetters, memory: this.memory, whenMovable: () => this.#whenMovable(), changed, log }))
  }

  /**
   * Connects, and begins to consume.
   * @param timeout the time limit with `startup: 'fail'`, in milliseconds
   * @throws FST_NOTIFICATION_BROKER_UNREACHABLE, FST_NOTIFICATION_BROKER_REFUSED, FST_NOTIFICATION_UNUSABLE_QUEUE
   */
  async start (timeout: number): Promise<void> {
    const deadline = performance.now() + timeout
    // Consumers start last: they need the publisher and the peers.
    await Promise.all([this.publisher.connection.start(timeout), this.#extension?.start(timeout)])
    await Promise.all(this.consumers.map(({ connection }) => connection.start(Math.max(0, deadline - performance.now()))))
  }

  /** The messages that are not decoded yet, and those whose dead letters are being published. */
  * waiting (): Generator<Waiting, void, undefined> {
    yield * this.#intake.decoding()
    yield * this.deadLetters.waiting()
  }

  /**
   * Accepts no more messages, and no more requests of peers. Resolves when every message is settled, or after the timeout.
   * @param timeout in milliseconds
   */
  async drain (timeout: number): Promise<void> {
    const deadline = performance.now() + timeout
    const teardown = new Teardown(this.#log)
    await Promise.all(this.consumers.map(consumer => teardown.try(() => consumer.drain(timeout))))
    await teardown.try(() => this.#extension?.leave(Math.max(0, deadline - performance.now())))
    teardown.end()
  }

  /** @param timeout in milliseconds */
  async close (timeout: number): Promise<void> {
    const teardown = new Teardown(this.#log)
    await teardown.try(() => this.#extension?.close())
    const connections = [...this.consumers.map(({ connection }) => connection), this.publisher.connection]
    await Promise.all([
      teardown.try(() => this.#extension?.leave(timeout)),
      ...connections.map(connection => teardown.try(() => connection.close(timeout)))
    ])
    teardown.end()
  }

  /** Resolves when dead letters can be published, or after `connectTimeout`. */
  async #whenMovable (): Promise<void> {
    const { connection } = this.publisher
    const deadline = performance.now() + this.#options.connectTimeout
    while (['connecting', 'blocked'].includes(connection.state) && performance.now() < deadline) await delay(CHECK_INTERVAL)
  }
}
