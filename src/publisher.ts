import { IllegalOperationError, type ConfirmChannel, type Options as AmqpOptions } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { reason } from './amqp.js'
import { createBrokerConnection } from './broker-connection.js'
import { errors } from './errors.js'
import type { BrokerOptions } from './options.js'
import { ensureQueue } from './queue.js'

/** Tells a returned message apart from the others in flight. */
const PUBLISH_ID = 'x-notification-publish-id'

export type Publisher = ReturnType<typeof createPublisher>

/**
 * Publishes on a connection of its own: under a memory or disk alarm RabbitMQ blocks a connection that publishes,
 * and with it whatever is consumed on the same.
 */
export function createPublisher (options: BrokerOptions, log: FastifyBaseLogger) {
  let sequence = 0
  let ensuring: Promise<void> | undefined
  /** How to fail each publish that isn't confirmed yet. */
  const inFlight = new Map<number, (why: string) => void>()

  const connection = createBrokerConnection<ConfirmChannel>({
    options,
    purpose: 'publisher',
    log,
    createChannel: model => model.createConfirmChannel(),
    async setup (channel, model) {
      // A returned message is confirmed too, after its return.
      channel.on('return', ({ properties }) => {
        inFlight.get(properties.headers?.[PUBLISH_ID] as number)?.('there is no such queue')
      })
      await ensureQueue(model, options.deadLetterQueue)
    },
    lost () {
      for (const fail of inFlight.values()) fail('the connection was lost')
    }
  })

  return {
    connection,

    /**
     * Publishes a message to a queue, through the default exchange.
     * @returns when the broker has confirmed it: from then on it is the broker's
     * @throws FST_NOTIFICATION_PUBLISH_FAILED, FST_NOTIFICATION_PUBLISH_TIMEOUT, and amqplib's own error where it can't
     *   encode the properties
     */
    async publish (queue: string, content: Buffer, properties: AmqpOptions.Publish): Promise<void> {
      const { channel, state } = connection
      if (channel === undefined || state === 'connecting') throw new errors.PublishFailed(queue, 'not connected to the broker')
      const id = ++sequence
      let timer: NodeJS.Timeout | undefined
      try {
        await new Promise<void>((resolve, reject) => {
          const fail = (why: string) => reject(new errors.PublishFailed(queue, why))
          inFlight.set(id, fail)
          timer = setTimeout(() => reject(new errors.PublishTimeout(queue, options.publishTimeout)), options.publishTimeout)
          // Written to a blocked connection it would wait in this process, and go out long after it was given up.
          if (state === 'blocked') return
          const headers = { ...properties.headers, [PUBLISH_ID]: id }
          channel.publish('', queue, content, { ...properties, headers, persistent: true, mandatory: true }, (error: unknown) => {
            if (error == null) resolve()
            else fail(reason(error))
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

    /** Makes sure once more that the dead-letter queue is there: it may have been deleted meanwhile. */
    async ensureDeadLetterQueue (): Promise<void> {
      const { model } = connection
      if (model === undefined) return
      // Once for all the letters that wait for it.
      ensuring ??= ensureQueue(model, options.deadLetterQueue).finally(() => { ensuring = undefined })
      await ensuring
    }
  }
}
