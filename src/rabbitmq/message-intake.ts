import type { ConsumeMessage } from 'amqplib'
import type { Dispatcher } from '../delivery/dispatcher.js'
import type { Observer, Outcome, Result } from '../delivery/doors.js'
import type { FanOut } from '../delivery/fan-out.js'
import { Multicast, type Summary } from '../delivery/multicast.js'
import type { Notification } from '../delivery/notification.js'
import type { Waiting } from '../delivery/waiting.js'
import { errors } from '../errors.js'
import type { BrokerOptions } from '../options/schema.js'
import { withTimeout } from '../with-timeout.js'
import { withoutText } from '../without-text.js'
import { ApplicationDecoder, type Decoded } from './application-decoder.js'
import type { DeadLetters, Rejection } from './dead-letters.js'
import { InOrder } from './in-order.js'
import { InvalidMessage } from './invalid-message.js'
import { decodeMessage } from './message.js'
import type { NearLimit, QueueMessage } from './queue-message.js'

/**
 * How long a message near the delivery limit may wait for its outcome before it is moved, in milliseconds. A client needs
 * this time to acknowledge it, or the hold to keep it.
 */
const ATTEMPT_TIMEOUT = 5_000

export interface MessageIntakeParts {
  options: BrokerOptions
  observer: Observer
  dispatcher: Pick<Dispatcher, 'deliver'>
  fanOut: Pick<FanOut, 'deliver'>
  deadLetters: DeadLetters
}

/** Every message of every queue comes in here: it is decoded, and delivered, ignored or dead-lettered. */
export class MessageIntake {
  readonly #parts: MessageIntakeParts
  readonly #maxBytes: number
  readonly #decoder: ApplicationDecoder | undefined
  /** The messages that are not decoded yet, and since when, in milliseconds since 1970. */
  readonly #decoding = new Map<QueueMessage, number>()
  /** By the signal of their channel. Each channel has an order of its own, because the broker redelivers what a dead one had. */
  readonly #orders = new WeakMap<AbortSignal, InOrder>()

  constructor (parts: MessageIntakeParts) {
    const { decode, limits } = parts.options
    this.#parts = parts
    this.#maxBytes = limits.messageBytes
    if (decode !== undefined) this.#decoder = new ApplicationDecoder(decode, limits.messageBytes, limits.decodeTimeout)
  }

  /** When this returns, or when the promise that it returns is fulfilled, the outcome is known. */
  handle (message: QueueMessage): unknown {
    if (this.#decoder !== undefined) return this.#decodeInOrder(message, this.#decoder)
    const { observer } = this.#parts
    const decoded = decodeMessage(message.message, this.#maxBytes)
    message.decodeText = this.#decodeText
    observer.received(message, decoded instanceof InvalidMessage ? undefined : decoded)
    return observer.run === undefined ? this.#take(message, decoded) : observer.run(message, () => this.#take(message, decoded))
  }

  /** The text of a message that was decoded to a payload before. */
  readonly #decodeText = (message: ConsumeMessage): string => {
    return (decodeMessage(message, this.#maxBytes) as Notification | Multicast).payload.text
  }

  /** A client may have got the message before the error. A copy in the dead-letter queue is better than a lost message. */
  async fail (message: QueueMessage, error: unknown): Promise<void> {
    await this.#deadLetter(message, unexpected(error))
  }

  /** The users of messages are unknown until they are decoded. So messages are delivered in the order of the channel. */
  #decodeInOrder (message: QueueMessage, decoder: ApplicationDecoder): unknown {
    const { observer } = this.#parts
    observer.received(message, undefined)
    const decoding = this.#inTrace(message, () => decoder.decode(message))
    let isDecoded = false
    const handled = this.#orderOf(message).run(decoding, decoded => {
      isDecoded = true
      this.#decoding.delete(message)
      return this.#inTrace(message, () => this.#takeDecoded(message, decoded))
    })
    if (!isDecoded) {
      message.isDecoding = true
      this.#decoding.set(message, Date.now())
    }
    return handled
  }

  /** The messages that are being decoded, or wait for an earlier one that is. */
  * decoding (): Generator<Waiting, void, undefined> {
    for (const [message, since] of this.#decoding) {
      yield { userId: undefined, id: message.messageId, kind: 'own', origin: message, cause: 'decode', since, connections: 0 }
    }
  }

  #takeDecoded (message: QueueMessage, decoded: Decoded): unknown {
    const { observer } = this.#parts
    if (message.gone.aborted) return // the broker delivers it again
    message.isDecoding = false
    if (decoded === undefined) return observer.ignored(message)
    if (!(decoded instanceof InvalidMessage)) observer.decoded(message, decoded)
    return this.#take(message, decoded)
  }

  #take (message: QueueMessage, decoded: Notification | Multicast | InvalidMessage): unknown {
    if (!(decoded instanceof InvalidMessage)) message.payload = decoded.payload
    if (message.isCounted) message.occupy()
    if (decoded instanceof InvalidMessage) return this.#deadLetter(message, decoded)
    return message.nearLimit === undefined ? this.#deliver(decoded, message) : this.#rescue(decoded, message, message.nearLimit)
  }

  #deliver (decoded: Notification | Multicast, message: QueueMessage): Result | Summary | Promise<Result | Summary | void> {
    const { dispatcher, fanOut } = this.#parts
    if (!(decoded instanceof Multicast)) return dispatcher.deliver(decoded, message)
    message.isShared = true
    const result = fanOut.deliver(decoded, message, (notification, error) => this.#failOne(message, notification, error))
    return result instanceof Promise ? result.catch((error: unknown) => this.#refuse(message, decoded, error)) : result
  }

  /** One of the users of a message can't get it. The others are not to get it again: so it is dead-lettered for this user alone. */
  async #failOne (message: QueueMessage, notification: Notification, error: unknown): Promise<Outcome> {
    if (message.gone.aborted || message.isMoved) throw error // the broker delivers the message again, or all of it is dead-lettered
    const { deadLetters, observer } = this.#parts
    const { userId, payload: { id } } = notification
    const rejection = { ...unexpected(error), userId, id }
    await deadLetters.addOne(message, notification, rejection)
    observer.rejected(message, rejection.reason, notification)
    return 'dead-lettered'
  }

  /** Other instances can't get a message. All of it is dead-lettered, though connections here have it. */
  async #refuse (message: QueueMessage, multicast: Multicast, error: unknown): Promise<void> {
    if (!(error instanceof errors.TooLarge)) throw error
    message.isMoved = true
    await this.#deadLetter(message, { reason: 'too-large', detail: error.message, id: multicast.payload.id }, multicast)
  }

  /** Moves a message to the dead-letter queue before the broker drops it. Skips that if the outcome is known soon. */
  async #rescue (decoded: Notification | Multicast, message: QueueMessage, { deliveryCount, deliveryLimit, treatment }: NearLimit): Promise<Result | Summary | void> {
    if (treatment === 'attempt') {
      const result = this.#deliver(decoded, message)
      if (!(result instanceof Promise) || await withTimeout(ATTEMPT_TIMEOUT, result, message.gone)) return await result
    }
    // A client that got the message may still acknowledge it. Then it is in the dead-letter queue too.
    message.isMoved = true
    const detail = `returned ${deliveryCount} times, and the broker drops it beyond ${deliveryLimit}`
    const userId = decoded instanceof Multicast ? undefined : decoded.userId
    await this.#deadLetter(message, { reason: 'delivery-limit', detail, userId, id: decoded.payload.id }, decoded)
  }

  async #deadLetter (message: QueueMessage, rejection: Rejection, decoded?: Notification | Multicast): Promise<void> {
    const { deadLetters, observer } = this.#parts
    await deadLetters.add(message, { ...rejection, id: rejection.id ?? message.messageId })
    observer.rejected(message, rejection.reason, decoded)
  }

  #inTrace<T> (message: QueueMessage, step: () => T): T {
    const { observer } = this.#parts
    return observer.run === undefined ? step() : observer.run(message, step)
  }

  #orderOf ({ gone }: QueueMessage): InOrder {
    let order = this.#orders.get(gone)
    if (order === undefined) {
      this.#orders.set(gone, order = new InOrder())
      // A `decode` that never ends would keep the messages of dead channels here.
      for (const message of this.#decoding.keys()) if (message.gone.aborted) this.#decoding.delete(message)
    }
    return order
  }
}

function unexpected (error: unknown): { readonly reason: 'internal-error', readonly detail: string } {
  const { name, code } = withoutText(error)
  return { reason: 'internal-error', detail: `an unexpected error: ${code ?? name}` }
}
