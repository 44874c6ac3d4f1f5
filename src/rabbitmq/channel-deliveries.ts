import { setMaxListeners } from 'node:events'
import type { Channel, ConsumeMessage } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { AckBatcher } from './ack-batcher.js'
import type { DeadLetters } from './dead-letters.js'
import { treatmentOf, type DeliveryLimitWatch, type ReturnCounts } from './delivery-limit.js'
import { QueueMessage, type NearLimit } from './queue-message.js'
import type { Standby } from './standby.js'
import { ChannelBytes, type UnsettledBytes } from './unsettled-bytes.js'
import { withoutText } from '../without-text.js'

/** What happens to the messages of a queue. */
export interface MessageHandlers {
  /**
   * Handles a message. When this returns, or when the promise that it returns is fulfilled, the outcome is known. The
   * signal `gone` of the message aborts when its channel dies: then the broker delivers the message again.
   */
  handle (message: QueueMessage): unknown
  /** Handles a message for which `handle` threw an error. Once the promise is fulfilled, the message may be settled. */
  failed (message: QueueMessage, error: unknown): Promise<unknown>
  /** The outcome of a message became known only after its channel had died. */
  abandoned (): void
}

export interface ChannelDeliveriesParts {
  channel: Channel
  queue: string
  prefetch: number
  handlers: MessageHandlers
  deadLetters: DeadLetters
  /** Whether another consumer is the active one. */
  standby: Standby
  limitWatch: DeliveryLimitWatch
  /** The memory of the unsettled messages of all queues. */
  memory: UnsettledBytes
  /** How often the unsettled messages of this channel were returned before. */
  counts: ReturnCounts
  /** The broker has taken the first ack. */
  proved (): void
  log: FastifyBaseLogger
}

/** Handles the messages that one channel delivers, and settles each one when its outcome is known. */
export class ChannelDeliveries {
  readonly #parts: ChannelDeliveriesParts
  readonly #acks: AckBatcher
  readonly #memory: ChannelBytes
  readonly #gone = new AbortController()
  #isDraining = false
  /** Whether the channel has settled a message. */
  #isProving = false

  constructor (parts: ChannelDeliveriesParts) {
    this.#parts = parts
    this.#acks = new AckBatcher(parts.channel, parts.prefetch)
    this.#memory = new ChannelBytes(parts.memory)
    setMaxListeners(0, this.#gone.signal) // each waiting dead letter listens to the signal
  }

  /** How many messages have no outcome yet. */
  get unsettledCount (): number {
    return this.#acks.unsettledCount
  }

  /** Handles one message. amqplib calls this for each message, and closes the channel if it throws. */
  receive (message: ConsumeMessage): void {
    const { queue, handlers, deadLetters, standby, limitWatch, counts } = this.#parts
    const deliveryCount = limitWatch.count(counts, message)
    const nearLimit = this.#nearLimit(deliveryCount)
    // While draining, a message goes back to the queue, because the sockets are about to close. A message that the broker
    // would drop at its return is still moved to the dead-letter queue.
    if (this.#isDraining && nearLimit?.treatment !== 'move') return
    this.#acks.track(message)
    if (standby.isOn) standby.activate()
    const arrived = new QueueMessage(message, queue, this.#gone.signal, deadLetters, nearLimit, this.#memory)
    try {
      const outcome = handlers.handle(arrived)
      // Most outcomes are known at once. A promise for each message would cost more than the delivery itself.
      if (outcome instanceof Promise) {
        arrived.beginToWait()
        outcome.then(() => this.#settle(arrived), (error: unknown) => this.#fail(arrived, error))
      } else {
        this.#settle(arrived)
      }
    } catch (error) {
      void this.#fail(arrived, error)
    }
  }

  /** Accepts no more messages. */
  stop (): void {
    this.#isDraining = true
  }

  /** Resolves when every message is settled, or when the channel is dead. */
  async allSettled (): Promise<void> {
    await this.#acks.allSettled()
  }

  /** Sends an ack for each settled message at once. */
  flush (): void {
    this.#acks.flush()
  }

  /** The channel is dead: the broker delivers every unacked message again. */
  abandon (): void {
    this.#acks.abandon()
    this.#memory.close()
    this.#gone.abort()
  }

  /** The outcome of a message is known. */
  #settle (arrived: QueueMessage): void {
    const { counts, handlers } = this.#parts
    const { message } = arrived
    arrived.release()
    counts.delete(message.fields.deliveryTag)
    if (!this.#acks.settle(message)) handlers.abandoned()
    else if (!this.#isProving) void this.#prove()
  }

  /**
   * Reports that the connection is useful, once the broker has taken the ack of the first message. The broker confirms no
   * acks, but it answers in order: its answer to a later request shows that it has taken the ack.
   */
  async #prove (): Promise<void> {
    const { channel, prefetch, proved } = this.#parts
    this.#isProving = true
    try {
      this.#acks.flushPrefix()
      await channel.prefetch(prefetch)
      proved()
    } catch {} // the channel is dead
  }

  #nearLimit (deliveryCount: number): NearLimit | undefined {
    if (deliveryCount === 0) return undefined
    const { limit: deliveryLimit } = this.#parts.limitWatch
    const treatment = treatmentOf(deliveryCount, deliveryLimit)
    return treatment === 'route' ? undefined : { deliveryCount, deliveryLimit, treatment }
  }

  /** Settles a message whose handling failed. Left unsettled, the message would take a place of the prefetch for ever. */
  async #fail (message: QueueMessage, err: unknown): Promise<void> {
    const { queue, handlers, log } = this.#parts
    if (message.gone.aborted) return // the broker delivers it again
    log.error({ error: withoutText(err), queue, id: message.messageId }, 'message failed unexpectedly')
    try {
      await handlers.failed(message, err)
      this.#settle(message)
    } catch (err) {
      if (!message.gone.aborted) log.error({ err, queue, id: message.messageId }, 'message not settled')
    }
  }
}
