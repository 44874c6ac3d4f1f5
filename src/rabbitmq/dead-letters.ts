import { setTimeout as delay } from 'node:timers/promises'
import { Type, type Static } from '@sinclair/typebox'
import type { ConsumeMessage, Options as AmqpOptions } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { EXPIRES_AT, HELD_SINCE } from './age-headers.js'
import { Backoff } from '../backoff.js'
import type { DeadLetterReason } from '../delivery/doors.js'
import { toMessage, type Notification } from '../delivery/notification.js'
import type { Waiting } from '../delivery/waiting.js'
import { errors } from '../errors.js'
import type { BrokerOptions } from '../options/schema.js'
import type { BrokerError } from './connection-status.js'
import { MAX_MESSAGE_BYTES } from './message-size.js'
import { hasOwnForm, OWN_FORM } from './own-form.js'
import type { Publisher } from './publisher.js'
import { Reminder } from '../reminder.js'

const reasons: readonly DeadLetterReason[] = ['too-large', 'invalid-encoding', 'invalid-utf8', 'invalid-json', 'invalid-message', 'undecodable', 'offline', 'rejected', 'delivery-limit', 'internal-error']

/** The details of the reasons that say it all. */
export const details = { offline: 'the user had no connection that took it', rejected: "the user's clients could not handle it" } as const

/** The headers that a dead letter has besides those of the message. */
export const DeadLetterHeadersSchema = Type.Object({
  'x-notification-reason': Type.Unsafe<DeadLetterReason>(Type.String({ enum: [...reasons], description: 'why it is here' })),
  'x-notification-detail': Type.String({ description: 'the same in words' }),
  'x-notification-time': Type.String({ format: 'date-time', description: 'when it came here' }),
  'x-notification-queue': Type.Optional(Type.String({ description: 'the queue that it came from, if from one' })),
  'x-notification-exchange': Type.Optional(Type.String({ description: 'the exchange that it had been published to' })),
  'x-notification-routing-key': Type.Optional(Type.String({ description: 'the routing key that it had been published with' })),
  [OWN_FORM]: Type.Optional(Type.Literal(true, { description: "its body has the plugin's own form, whatever `decode` expects; who replays it keeps this header" })),
  'x-notification-publish-id': Type.Optional(Type.Integer({ description: "a number of the plugin's own" }))
})
type DeadLetterHeaders = Static<typeof DeadLetterHeadersSchema>

/** Why a message is dead-lettered. */
export interface Rejection {
  readonly reason: DeadLetterReason
  /** The same in words. */
  readonly detail: string
  /** The same for the log, if `detail` may quote the message. */
  readonly loggedDetail?: string
  /** The user and the id of the notification, if they are known. */
  readonly userId?: string | undefined
  readonly id?: string | undefined
}

interface DeadLettersParts {
  options: BrokerOptions
  publisher: Publisher
  /** Dead letters have begun to fail, or can be published again. */
  changed (): void
  log: FastifyBaseLogger
}

/** The properties that describe a body of the plugin's own form. */
const OWN_FORM_PROPERTIES = { contentType: 'application/json', contentEncoding: '' }

/** A message and the queue that delivered it. */
interface Delivered {
  readonly message: ConsumeMessage
  readonly queue: string
  /** Aborts when the broker will deliver the message again. */
  readonly gone: AbortSignal
  /** Counts the memory of a dead letter whose body has so many bytes. Returns what to call when it is published, or given up. */
  addCopy? (bytes: number): () => void
}

/** Publishes messages to the dead-letter queue, with the reason and the origin in headers. */
export class DeadLetters {
  readonly #parts: DeadLettersParts
  readonly #reminder = new Reminder()
  /** The dead letters that are being published, by message, or by notification of a message to many. */
  readonly #adding = new Map<ConsumeMessage | Notification, { readonly waiting: Waiting, readonly added: Promise<void> }>()
  /** When the last dead letter of a message to many is published, or given up. */
  readonly #published = new WeakMap<ConsumeMessage, Promise<unknown>>()
  #lastError: BrokerError | undefined

  constructor (parts: DeadLettersParts) {
    this.#parts = parts
  }

  /** Whether messages wait, because the last dead letter could not be published. */
  get isFailing (): boolean {
    return this.#lastError !== undefined && this.#adding.size > 0
  }

  /** Why the last dead letter could not be published; undefined if it was. */
  get lastError (): BrokerError | undefined {
    return this.#lastError
  }

  /**
   * Publishes a delivered message to the dead-letter queue, and retries until that succeeds. Meanwhile the message stays
   * unsettled: so the broker sends fewer messages while dead letters can't be published.
   * @returns when the broker has confirmed the dead letter
   * @throws AbortError if the broker will deliver the message again
   */
  async add (delivered: Delivered, rejection: Rejection): Promise<void> {
    const { message } = delivered
    // One message gives one dead letter, even if several callers ask for it.
    await (this.#adding.get(message)?.added ?? this.#track(message, delivered, rejection, this.#addOnce(delivered, rejection)))
  }

  /** The messages whose dead letters are being published. */
  * waiting (): Generator<Waiting, void, undefined> {
    for (const { waiting } of this.#adding.values()) yield waiting
  }

  /**
   * Publishes one of the notifications of a delivered message to the dead-letter queue, as {@link add} publishes the message.
   * Those of one message are published one after the other: each is a copy of the content.
   */
  async addOne (delivered: Delivered, notification: Notification, rejection: Rejection): Promise<void> {
    const before = this.#published.get(delivered.message) ?? Promise.resolve()
    const added = before.then(() => this.#addOnce(delivered, rejection, toMessage(notification)))
    this.#published.set(delivered.message, added.catch(() => {})) // whoever has asked for it is told
    await this.#track(notification, delivered, rejection, added)
  }

  /**
   * Publishes a notification of `notify()` to the dead-letter queue. Does not retry.
   * @param message the JSON of the notification
   * @throws FST_NOTIFICATION_PUBLISH_FAILED, FST_NOTIFICATION_PUBLISH_TIMEOUT
   */
  async addOwn (message: Buffer, reason: DeadLetterReason, detail: string): Promise<void> {
    if (message.length > MAX_MESSAGE_BYTES) throw new errors.PublishFailed(this.#parts.options.deadLetterQueue, `it has more than ${MAX_MESSAGE_BYTES} bytes`)
    await this.#publish(message, { contentType: 'application/json', headers: { ...reasonHeaders(reason, detail), [OWN_FORM]: true } satisfies DeadLetterHeaders }, {})
  }

  /** @param body of the plugin's own form; if it is not given, the body of the message */
  async #addOnce (delivered: Delivered, rejection: Rejection, body?: Buffer): Promise<void> {
    const forget = delivered.addCopy?.((body ?? delivered.message.content).length)
    try {
      await this.#publishCopy(delivered, rejection, body)
    } finally {
      forget?.()
    }
  }

  async #publishCopy ({ message, queue, gone }: Delivered, { reason, detail, loggedDetail = detail, id }: Rejection, body: Buffer | undefined): Promise<void> {
    const { options: { deadLetterQueue, reconnect }, publisher, log } = this.#parts
    const { exchange, routingKey } = message.fields
    const headers: DeadLetterHeaders = {
      ...reasonHeaders(reason, detail),
      'x-notification-queue': queue,
      'x-notification-exchange': exchange,
      'x-notification-routing-key': routingKey,
      ...((body !== undefined || hasOwnForm(message.properties.headers)) && { [OWN_FORM]: true })
    }
    // amqplib can't encode everything that it decodes: the headers may fill its 64 KiB, or have types that it can't encode.
    // Then the letter goes without the original headers; if that fails too, without any of the original properties.
    const original = body === undefined ? originalProperties(message) : { ...originalProperties(message), ...OWN_FORM_PROPERTIES }
    const forms = [{ ...original, headers: { ...originalHeaders(message), ...headers } }, { ...original, headers }, { headers }]

    const backoff = new Backoff(reconnect)
    while (true) {
      gone.throwIfAborted()
      try {
        await this.#publish(body ?? message.content, forms[0]!, { queue, id })
        break
      } catch (error) {
        if (!isPublishError(error) && forms.length > 1) {
          forms.shift()
          continue
        }
        await delay(backoff.next(), undefined, { signal: gone })
        await publisher.ensureDeadLetterQueue().catch(() => {}) // the next publish reports the error
      }
    }
    // A user who is offline is normal.
    log[reason === 'offline' ? 'debug' : 'warn']({ queue, id, deadLetterQueue, reason, detail: loggedDetail }, 'message dead-lettered')
  }

  /** Shows a dead letter as waiting until it is published. */
  async #track (key: ConsumeMessage | Notification, delivered: Delivered, { userId, id }: Rejection, publishing: Promise<void>): Promise<void> {
    const waiting: Waiting = { userId, id, kind: 'own', origin: delivered, cause: 'dead-letters', since: Date.now(), connections: 0 }
    const added = publishing.finally(() => this.#end(key))
    this.#adding.set(key, { waiting, added })
    await added
  }

  #end (key: ConsumeMessage | Notification): void {
    this.#adding.delete(key)
    if (this.#lastError !== undefined) this.#parts.changed()
  }

  /** @param from the queue and the id of the message, for the log */
  async #publish (content: Buffer, properties: AmqpOptions.Publish, from: { queue?: string, id?: string | undefined }): Promise<void> {
    const { options: { deadLetterQueue }, publisher, changed, log } = this.#parts
    try {
      await publisher.publish(deadLetterQueue, content, properties)
    } catch (err) {
      if (!isPublishError(err)) throw err
      this.#lastError = { error: err, at: new Date() }
      changed()
      if (this.#reminder.isDue()) log.warn({ err, deadLetterQueue, ...from, waiting: this.#adding.size }, 'dead letters cannot be published')
      throw err
    }
    if (this.#lastError === undefined) return
    log.info({ deadLetterQueue }, 'dead letters can be published again')
    this.#lastError = undefined
    this.#reminder.reset()
    changed()
  }
}

function isPublishError (error: unknown): error is Error {
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
