import { setTimeout as delay } from 'node:timers/promises'
import { Type, type Static } from '@sinclair/typebox'
import type { ConsumeMessage, Options as AmqpOptions } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { EXPIRES_AT, HELD_SINCE } from './age-headers.js'
import type { DeadLetterReason } from '../delivery/doors.js'
import { errors } from '../errors.js'
import type { BrokerOptions } from '../options/schema.js'
import type { Publisher } from './publisher.js'

const reasons: readonly DeadLetterReason[] = ['too-large', 'invalid-utf8', 'invalid-json', 'invalid-message', 'offline', 'delivery-limit', 'internal-error']

/** The headers that a dead letter has besides those of the message. */
export const DeadLetterHeadersSchema = Type.Object({
  'x-notification-reason': Type.Unsafe<DeadLetterReason>(Type.String({ enum: [...reasons], description: 'why it is here' })),
  'x-notification-detail': Type.String({ description: 'the same in words' }),
  'x-notification-time': Type.String({ format: 'date-time', description: 'when it came here' }),
  'x-notification-queue': Type.Optional(Type.String({ description: 'the queue that it came from, if from one' })),
  'x-notification-exchange': Type.Optional(Type.String({ description: 'the exchange that it had been published to' })),
  'x-notification-routing-key': Type.Optional(Type.String({ description: 'the routing key that it had been published with' })),
  'x-notification-publish-id': Type.Optional(Type.Integer({ description: "a number of the plugin's own" }))
})
type DeadLetterHeaders = Static<typeof DeadLetterHeadersSchema>

/** A message and the queue that delivered it. */
interface Delivered {
  readonly message: ConsumeMessage
  readonly queue: string
  /** Aborts when the broker will deliver the message again. */
  readonly gone: AbortSignal
}

export type DeadLetters = ReturnType<typeof createDeadLetters>

/** Publishes messages to the dead-letter queue, with the reason and the origin in headers. */
export function createDeadLetters (options: BrokerOptions, publisher: Publisher, log: FastifyBaseLogger) {
  const { deadLetterQueue, reconnect } = options
  let failing = false

  async function publish (content: Buffer, properties: AmqpOptions.Publish): Promise<void> {
    try {
      await publisher.publish(deadLetterQueue, content, properties)
    } catch (err) {
      if (!isPublishError(err)) throw err
      if (!failing) log.warn({ err, queue: deadLetterQueue }, 'dead letters cannot be published')
      failing = true
      throw err
    }
    if (failing) log.info({ queue: deadLetterQueue }, 'dead letters can be published again')
    failing = false
  }

  /** The dead letters that are being published, by message. */
  const adding = new WeakMap<ConsumeMessage, Promise<void>>()

  async function publishDelivered ({ message, queue, gone }: Delivered, why: DeadLetterReason, detail: string): Promise<void> {
    const { exchange, routingKey } = message.fields
    const headers: DeadLetterHeaders = {
      ...reasonHeaders(why, detail),
      'x-notification-queue': queue,
      'x-notification-exchange': exchange,
      'x-notification-routing-key': routingKey
    }
    // amqplib can't encode everything that it decodes: the headers may fill its 64 KiB, or have types that it can't encode.
    // Then the letter goes without the original headers; if that fails too, without any of the original properties.
    const original = originalProperties(message)
    const forms = [{ ...original, headers: { ...originalHeaders(message), ...headers } }, { ...original, headers }, { headers }]

    for (let wait = reconnect.initialDelay; ; wait = Math.min(wait * 2, reconnect.maxDelay)) {
      gone.throwIfAborted()
      try {
        await publish(message.content, forms[0]!)
        break
      } catch (error) {
        if (!isPublishError(error) && forms.length > 1) {
          forms.shift()
          continue
        }
        await delay(wait, undefined, { signal: gone })
        await publisher.ensureDeadLetterQueue().catch(() => {}) // the next publish reports the error
      }
    }
    // A user who is offline is normal.
    log[why === 'offline' ? 'debug' : 'warn']({ queue: deadLetterQueue, reason: why, detail }, 'message dead-lettered')
  }

  return {
    /**
     * Publishes a delivered message to the dead-letter queue, and retries until that succeeds. Meanwhile the message stays
     * unsettled: so the broker sends fewer messages while dead letters can't be published.
     * @returns when the broker has confirmed the dead letter
     * @throws AbortError if the broker will deliver the message again
     */
    async add (delivered: Delivered, why: DeadLetterReason, detail: string): Promise<void> {
      const { message } = delivered
      const added = adding.get(message) ?? publishDelivered(delivered, why, detail).finally(() => adding.delete(message))
      adding.set(message, added) // one message gives one dead letter, even if several callers ask for it
      await added
    },

    /**
     * Publishes a notification of `notify()` to the dead-letter queue. Does not retry.
     * @param message the JSON of the notification
     * @throws FST_NOTIFICATION_PUBLISH_FAILED, FST_NOTIFICATION_PUBLISH_TIMEOUT
     */
    async addOwn (message: Buffer, why: DeadLetterReason, detail: string): Promise<void> {
      await publish(message, { contentType: 'application/json', headers: reasonHeaders(why, detail) })
    }
  }
}

function isPublishError (error: unknown): boolean {
  return error instanceof errors.PublishFailed || error instanceof errors.PublishTimeout
}

function reasonHeaders (why: DeadLetterReason, detail: string): DeadLetterHeaders {
  return {
    'x-notification-reason': why,
    'x-notification-detail': detail,
    'x-notification-time': new Date().toISOString()
  }
}

/** Leaves out `expiration`, which would delete the letter, and `userId`, which the broker compares with our own user. */
function originalProperties ({ properties }: ConsumeMessage): AmqpOptions.Publish {
  const { contentType, contentEncoding, correlationId, replyTo, messageId, timestamp, type, appId } = properties
  return { contentType, contentEncoding, correlationId, replyTo, messageId, timestamp, type, appId }
}

/**
 * Leaves out `CC` and `BCC`: RabbitMQ would route copies again. Leaves out the broker's counts and the age headers: they
 * would be wrong if somebody published the letter to the queue again.
 */
function originalHeaders ({ properties }: ConsumeMessage): Record<string, unknown> {
  const {
    CC, BCC, 'x-delivery-count': deliveryCount, 'x-acquired-count': acquiredCount, [HELD_SINCE]: since, [EXPIRES_AT]: expires, ...headers
  } = properties.headers ?? {}
  return headers
}
