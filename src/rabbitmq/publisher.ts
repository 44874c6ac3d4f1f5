import { IllegalOperationError, type ChannelModel, type ConfirmChannel, type Options as AmqpOptions } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { isRefusal, reason } from './amqplib.js'
import { createBrokerConnection } from './connection.js'
import { MAX_DELIVERY_LIMIT } from '../options/types.js'
import { DeclaredQueue } from './declared-queue.js'
import { errors } from '../errors.js'
import type { BrokerOptions } from '../options/schema.js'
import { ownQueue } from './topology.js'
import { within } from '../with-timeout.js'

/** Tells a returned message apart from the others in flight. */
const PUBLISH_ID = 'x-notification-publish-id'

export type Publisher = ReturnType<typeof createPublisher>

/** What else is published. */
export interface PublisherHooks {
  /** Declares what it needs. */
  prepare (model: ChannelModel): Promise<void>
  /** Where it is published to, and a routing key by which nobody is bound there. */
  readonly exchanges: ReadonlyArray<{ readonly name: string, readonly nobody: string }>
  /** The publisher takes publishes, for the first time or again. */
  opened (): void
}

/** The default exchange, and the name of no queue. */
const DEFAULT_EXCHANGE = { name: '', nobody: '' }

/**
 * Publishes on a connection of its own: under a memory or disk alarm RabbitMQ blocks a connection that publishes,
 * and with it whatever is consumed on the same.
 * @param hooks of what else is published, if there is something; asked for with each new channel
 */
export function createPublisher (options: BrokerOptions, log: FastifyBaseLogger, hooks: () => PublisherHooks | undefined = () => undefined) {
  const { deadLetterQueue: queue, deliveryLimit } = options
  const deadLetterQueue = new DeclaredQueue({ queue, declaration: ownQueue(), deliveryLimit, log })
  let isLimitTold = false
  let sequence = 0
  let ensuring: Promise<void> | undefined
  /** How to fail each publish that isn't confirmed yet. */
  const inFlight = new Map<number, (why: string, cause?: Error) => void>()
  /** Those of `send()` that aren't confirmed yet: whom to tell. */
  const sent = new Map<number, (isRouted: boolean | undefined) => void>()

  /** Whether the broker has answered any of them since it was looked. */
  let isAnswered = false
  let watch: NodeJS.Timeout | undefined

  /** Whether the broker has refused a publish, and has confirmed none since. */
  let isRefused = false
  /** Whether the dead-letter queue was not there at the last publish to it. */
  let isQueueMissing = false

  const connection = createBrokerConnection<ConfirmChannel>({
    options,
    purpose: 'publisher',
    log,
    createChannel: model => model.createConfirmChannel(),
    async setup (channel, model) {
      // A returned message is confirmed too, after its return.
      channel.on('return', ({ properties: { headers, messageId } }) => {
        const id = headers?.[PUBLISH_ID] as number | undefined
        if (id !== undefined) {
          isQueueMissing = true
          inFlight.get(id)?.('there is no such queue')
        } else tell(Number(messageId), false)
      })
      await ensureDeadLetterQueue(model)
      await hooks()?.prepare(model)
      // The broker closes the channel at a publish that it refuses: before it is asked, nothing else is published.
      if (isRefused) await checkPermission(channel, model)
    },
    lost (why) {
      if (isRefusal(why)) isRefused = true
      isAnswered = true // there is nothing more to wait for
      for (const fail of inFlight.values()) fail('the connection was lost', why)
      for (const id of sent.keys()) tell(id, undefined)
    },
    opened: () => hooks()?.opened()
  })

  /**
   * Asks the broker whether publishing is allowed, by publishes that reach nobody.
   * @returns when it is, or when an alarm keeps the broker from answering
   * @throws where the broker refuses, or does not answer
   */
  async function checkPermission (channel: ConfirmChannel, model: ChannelModel): Promise<void> {
    const answered = Promise.all([DEFAULT_EXCHANGE, ...hooks()?.exchanges ?? []].map(async ({ name, nobody }) => {
      await new Promise<void>((resolve, reject) => {
        channel.publish(name, nobody, Buffer.alloc(0), { mandatory: true }, (error: unknown) => error == null ? resolve() : reject(error))
      })
    })).then(() => { isRefused = false })
    let proceed = () => {}
    const blocked = new Promise<void>(resolve => { proceed = resolve })
    model.once('blocked', proceed)
    try {
      if (!await within(options.publishTimeout, Promise.race([answered, blocked]))) throw new Error(`no publish was confirmed within ${options.publishTimeout} ms`)
    } finally {
      answered.catch(() => {}) // the channel is lost
      model.off('blocked', proceed)
    }
  }

  /**
   * RabbitMQ reads nothing more of a connection whose credit was used up on a queue that was then deleted, as that of an
   * instance that ends is (seen with 3.10), and says nothing of it. So one without any answer is given up.
   */
  function look (): void {
    watch = undefined
    if (!isAnswered && connection.state === 'open') connection.replace(`no publish was confirmed within ${options.publishTimeout} ms`)
    else if (inFlight.size + sent.size > 0) awaitAnswers()
  }

  function awaitAnswers (): void {
    if (watch !== undefined) return
    isAnswered = false
    watch = setTimeout(look, options.publishTimeout).unref() // the connection keeps the process
  }

  /** A person or a tool that looks at dead letters and puts them back returns them. */
  async function ensureDeadLetterQueue (model: ChannelModel): Promise<void> {
    const { deliveryLimit, isLimitKnown, type } = await deadLetterQueue.declare(model)
    isQueueMissing = false
    if (isLimitTold || !isLimitKnown || type !== 'quorum' || deliveryLimit >= MAX_DELIVERY_LIMIT) return
    isLimitTold = true
    log.warn({ queue, deliveryLimit }, 'dead-letter queue has a delivery limit: set a policy with "delivery-limit": 2147483647')
  }

  async function ensureAgain (model: ChannelModel): Promise<void> {
    try {
      await ensureDeadLetterQueue(model)
    } catch (error) {
      connection.fail(error as Error)
      throw error
    }
  }

  function tell (id: number, isRouted: boolean | undefined): void {
    const done = sent.get(id)
    sent.delete(id)
    done?.(isRouted)
  }

  return {
    connection,

    /**
     * Publishes through an exchange, and doesn't wait.
     * @param properties without a `messageId`
     * @param done is told whether the broker had a queue for it; undefined where that can't be known: the broker takes none
     *   now, or the connection was lost
     */
    send (
      exchange: string, routingKey: string, content: Buffer, properties: AmqpOptions.Publish, done?: (isRouted: boolean | undefined) => void
    ): void {
      const { channel, state } = connection
      if (channel === undefined || state !== 'open') return done?.(undefined)
      const id = ++sequence
      try {
        if (done === undefined) channel.publish(exchange, routingKey, content, properties)
        else {
          sent.set(id, done)
          awaitAnswers()
          channel.publish(exchange, routingKey, content, { ...properties, messageId: String(id), mandatory: true }, (error: unknown) => {
            isAnswered = true
            if (error == null) connection.prove()
            tell(id, error == null ? true : undefined) // of what was returned it has been told before
          })
        }
      } catch {
        tell(id, undefined) // the channel is closing
      }
    },

    /**
     * Publishes a message to a queue, through the default exchange.
     * @returns when the broker has confirmed it: from then on it is the broker's
     * @throws FST_NOTIFICATION_PUBLISH_FAILED, FST_NOTIFICATION_PUBLISH_TIMEOUT, and amqplib's own error where it can't
     *   encode the properties
     */
    async publish (queue: string, content: Buffer, properties: AmqpOptions.Publish): Promise<void> {
      const { channel, state } = connection
      if (channel === undefined || state === 'connecting') throw new errors.PublishFailed(queue, 'not connected to the broker', { cause: connection.lastError?.error })
      const id = ++sequence
      let timer: NodeJS.Timeout | undefined
      try {
        await new Promise<void>((resolve, reject) => {
          const fail = (why: string, cause?: Error) => reject(new errors.PublishFailed(queue, why, { cause }))
          inFlight.set(id, fail)
          timer = setTimeout(() => reject(new errors.PublishTimeout(queue, options.publishTimeout)), options.publishTimeout)
          // Written to a blocked connection it would wait in this process, and go out long after it was given up.
          if (state === 'blocked') return
          awaitAnswers()
          const headers = { ...properties.headers, [PUBLISH_ID]: id }
          channel.publish('', queue, content, { ...properties, headers, persistent: true, mandatory: true }, (error: unknown) => {
            isAnswered = true
            if (error != null) return fail(reason(error))
            connection.prove()
            resolve()
          })
        })
      } catch (error) {
        if (error instanceof IllegalOperationError) throw new errors.PublishFailed(queue, 'the connection is closing')
        throw error
      } finally {
        clearTimeout(timer)
        inFlight.delete(id)
      }
    },

    /** Declares the dead-letter queue again where it was deleted meanwhile. */
    async ensureDeadLetterQueue (): Promise<void> {
      const { model } = connection
      if (model === undefined || !isQueueMissing) return
      // Once for all the letters that wait for it.
      ensuring ??= ensureAgain(model).finally(() => { ensuring = undefined })
      await ensuring
    }
  }
}
