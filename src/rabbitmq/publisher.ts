import { IllegalOperationError, type ChannelModel, type ConfirmChannel, type Options as AmqpOptions } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { isRefusal, reason } from './amqplib.js'
import { AlarmProbe } from './alarm-probe.js'
import { BrokerConnection } from './connection.js'
import { DeadLetterQueue } from './dead-letter-queue.js'
import { errors } from '../errors.js'
import type { BrokerOptions } from '../options/schema.js'
import { checkPublishPermission, type ProbedExchange } from './publish-permission.js'

/** The header by which a returned message is told apart from the other unconfirmed ones. */
const PUBLISH_ID = 'x-notification-publish-id'

/** What other parts need from the connection that publishes. */
export interface PublisherHooks {
  /** Declares what they need. */
  prepare (model: ChannelModel): Promise<void>
  /** The exchanges that they publish to. */
  readonly exchanges: readonly ProbedExchange[]
  /** The publisher takes publishes: for the first time, or again. */
  opened (): void
}

/** The default exchange routes by queue name. No queue has an empty name. */
const DEFAULT_EXCHANGE: ProbedExchange = { name: '', nobody: '' }

type Done = (isRouted: boolean | undefined) => void

/**
 * Publishes on a connection of its own. During a memory or disk alarm, RabbitMQ blocks every connection that publishes: on
 * a shared connection, consuming would stop too.
 */
export class Publisher {
  readonly connection: BrokerConnection<ConfirmChannel>
  readonly #user: string | undefined
  readonly #publishTimeout: number
  readonly #hooks: () => PublisherHooks | undefined
  readonly #deadLetterQueue: DeadLetterQueue
  readonly #alarmProbe = new AlarmProbe(() => this.connection.state === 'blocked')
  #lastId = 0
  /** The unconfirmed calls of `publish()`: how to fail each one. */
  readonly #publishing = new Map<number, (why: string, cause?: Error) => void>()
  /** The unconfirmed calls of `send()`: their callbacks. */
  readonly #sending = new Map<number, Done>()
  /** Whether the broker has answered a publish since the last check. */
  #isAnswered = false
  #nextCheck: NodeJS.Timeout | undefined
  /** Whether the broker has refused a publish, and has confirmed none since. */
  #isRefused = false

  /**
   * @param changed called when the state of the connection has changed
   * @param hooks returns the hooks of the other parts that publish, if there are any. It is called for each new channel
   */
  constructor (options: BrokerOptions, log: FastifyBaseLogger, changed: () => void, hooks: () => PublisherHooks | undefined = () => undefined) {
    this.#user = options.relay.user
    this.#publishTimeout = options.publishTimeout
    this.#hooks = hooks
    this.#deadLetterQueue = new DeadLetterQueue(options, log)
    this.connection = new BrokerConnection<ConfirmChannel>({
      options,
      purpose: 'publisher',
      log,
      createChannel: model => model.createConfirmChannel(),
      setup: (channel, model) => this.#setUp(channel, model),
      lost: why => this.#failAll(why),
      opened: () => hooks()?.opened(),
      changed
    })
  }

  /** The RabbitMQ user that publishes. The broker refuses any other one in the property `user-id`. */
  get user (): string {
    return this.#user ?? this.connection.user
  }

  /**
   * Publishes through an exchange, without waiting.
   * @param properties without a `messageId`
   * @param done called with whether the broker had a queue for the message; with undefined if that is unknown, because the
   *   broker takes no publishes now, or the connection was lost
   */
  send (exchange: string, routingKey: string, content: Buffer, properties: AmqpOptions.Publish, done?: Done): void {
    const { channel, state } = this.connection
    if (channel === undefined || state !== 'open') return done?.(undefined)
    const id = ++this.#lastId
    try {
      if (done === undefined) channel.publish(exchange, routingKey, content, properties)
      else {
        this.#sending.set(id, done)
        this.#awaitAnswers()
        channel.publish(exchange, routingKey, content, { ...properties, messageId: String(id), mandatory: true }, (error: unknown) => {
          this.#isAnswered = true
          if (error == null) this.connection.prove()
          this.#tell(id, error == null ? true : undefined) // for a returned message, `done` was called before
        })
      }
    } catch {
      this.#tell(id, undefined) // the channel is closing
    }
  }

  /**
   * Publishes a message to a queue, through the default exchange.
   * @returns when the broker has confirmed the message, and is responsible for it
   * @throws FST_NOTIFICATION_PUBLISH_FAILED, FST_NOTIFICATION_PUBLISH_TIMEOUT, or amqplib's own error if it can't encode
   *   the properties
   */
  async publish (queue: string, content: Buffer, properties: AmqpOptions.Publish): Promise<void> {
    const { channel, state } = this.connection
    if (channel === undefined || state === 'connecting') throw new errors.PublishFailed(queue, 'not connected to the broker', { cause: this.connection.lastError?.error })
    const id = ++this.#lastId
    let timer: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        const fail = (why: string, cause?: Error) => reject(new errors.PublishFailed(queue, why, { cause }))
        this.#publishing.set(id, fail)
        timer = setTimeout(() => reject(new errors.PublishTimeout(queue, this.#publishTimeout)), this.#publishTimeout)
        // On a blocked connection, a message would wait in this process, and be sent long after the caller has given up.
        if (state === 'blocked') return
        this.#awaitAnswers()
        const headers = { ...properties.headers, [PUBLISH_ID]: id }
        channel.publish('', queue, content, { ...properties, headers, persistent: true, mandatory: true }, (error: unknown) => {
          this.#isAnswered = true
          if (error != null) return fail(reason(error))
          this.connection.prove()
          resolve()
        })
      })
    } catch (error) {
      if (error instanceof IllegalOperationError) throw new errors.PublishFailed(queue, 'the connection is closing')
      throw error
    } finally {
      clearTimeout(timer)
      this.#publishing.delete(id)
    }
  }

  /** Declares the dead-letter queue again if it was deleted. */
  async ensureDeadLetterQueue (): Promise<void> {
    const { model } = this.connection
    if (model === undefined) return
    try {
      await this.#deadLetterQueue.declareIfMissing(model)
    } catch (error) {
      this.connection.fail(error as Error)
      throw error
    }
  }

  async #setUp (channel: ConfirmChannel, model: ChannelModel): Promise<void> {
    // The broker confirms a returned message too, after its return.
    channel.on('return', ({ properties: { headers, messageId } }) => {
      const id = headers?.[PUBLISH_ID] as number | undefined
      if (id === undefined) return this.#tell(Number(messageId), false)
      this.#deadLetterQueue.markMissing()
      this.#publishing.get(id)?.('there is no such queue')
    })
    await this.#deadLetterQueue.declare(model)
    const hooks = this.#hooks()
    await hooks?.prepare(model)
    // If the broker refuses a publish, it closes the channel. So nothing else is published before the check has passed.
    if (this.#isRefused) {
      const exchanges = [DEFAULT_EXCHANGE, ...hooks?.exchanges ?? []]
      await checkPublishPermission(channel, model, exchanges, this.#publishTimeout, () => { this.#isRefused = false })
    }
    this.#alarmProbe.watch(model).catch(() => {}) // the connection has ended
  }

  /** The channel is dead, with every unconfirmed publish. */
  #failAll (why: Error | undefined): void {
    if (isRefusal(why)) this.#isRefused = true
    this.#isAnswered = true // no answer is expected any more
    for (const fail of this.#publishing.values()) fail('the connection was lost', why)
    for (const id of this.#sending.keys()) this.#tell(id, undefined)
  }

  #tell (id: number, isRouted: boolean | undefined): void {
    const done = this.#sending.get(id)
    this.#sending.delete(id)
    done?.(isRouted)
  }

  #awaitAnswers (): void {
    if (this.#nextCheck !== undefined) return
    this.#isAnswered = false
    this.#nextCheck = setTimeout(() => this.#checkAnswers(), this.#publishTimeout).unref() // the connection keeps the process
  }

  /**
   * Replaces a connection on which the broker has answered nothing. RabbitMQ reads nothing more from a connection that
   * used up its credit on a queue that was then deleted, such as the queue of an instance that has ended (seen with 3.10).
   */
  #checkAnswers (): void {
    this.#nextCheck = undefined
    if (!this.#isAnswered && this.connection.state === 'open') this.connection.replace(`no publish was confirmed within ${this.#publishTimeout} ms`)
    else if (this.#publishing.size + this.#sending.size > 0) this.#awaitAnswers()
  }
}
