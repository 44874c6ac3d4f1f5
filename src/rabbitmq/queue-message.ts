import type { ConsumeMessage } from 'amqplib'
import type { HeldTimes, Origin } from '../delivery/doors.js'
import { USER_BYTES } from '../delivery/multicast.js'
import type { Notification } from '../delivery/notification.js'
import type { Payload } from '../delivery/payload.js'
import { isId } from '../ids.js'
import { timesBefore } from './age-headers.js'
import { details, type DeadLetters } from './dead-letters.js'
import { commonProperties } from './delivered-message.js'
import type { ChannelBytes } from './unsettled-bytes.js'

/** Approximate bytes of memory of a message, besides its body and its content. */
const OVERHEAD = 1_024

/** How many bytes of memory a byte of JSON takes at most when it is parsed, as in `[[],[],…]` and `[{},{},…]`. */
const PARSED = 32

/** The broker drops the message after a few more returns. */
export interface NearLimit {
  readonly deliveryCount: number
  readonly deliveryLimit: number
  /** `attempt`: try to deliver the message first. */
  readonly treatment: 'attempt' | 'move'
}

/** A message of a queue, as the origin of a notification. */
export class QueueMessage implements Origin {
  /** Whether the message is moved to the dead-letter queue. Then it is offered to no other client. */
  isMoved = false
  /** Whether the message is for several users: then a dead letter is for one of them alone. */
  isShared = false
  /** When the message arrived, in milliseconds of the monotonic clock; 0 if nothing measures it. */
  receivedAt = 0
  /** What it was decoded to, once it is. */
  payload: Payload | undefined
  /** Whether the option `decode` has it, and may have parsed its body. */
  isDecoding = false
  /** How many users' outcomes it waits for, if it is for several. */
  private users = 0
  /** Bytes that it counts for in `memory`. */
  private counted = 0

  /**
   * @param gone aborts when the broker will deliver the message again
   * @param nearLimit undefined if the message is far from the delivery limit of its queue
   */
  constructor (
    readonly message: ConsumeMessage,
    readonly queue: string,
    readonly gone: AbortSignal,
    private readonly deadLetters: DeadLetters,
    readonly nearLimit: NearLimit | undefined,
    private readonly memory: ChannelBytes
  ) {}

  get bytes (): number {
    const { length } = this.message.content
    // The body twice: it is copied where it is dead-lettered.
    return OVERHEAD + (this.isDecoding ? PARSED * length : 2 * length) + (this.payload?.bytes ?? 0)
  }

  /** Counts the memory that it takes for as long as it is unsettled. To be called again when that changes. */
  occupy (): void {
    this.count(this.bytes + USER_BYTES * this.users)
  }

  addUsers (count: number): void {
    this.users += count
    if (this.isCounted) this.occupy()
  }

  /** It is settled. */
  release (): void {
    if (this.counted > 0) this.count(0)
  }

  /** Whether it counts. */
  get isCounted (): boolean {
    return this.counted > 0
  }

  private count (bytes: number): void {
    this.memory.change(bytes - this.counted)
    this.counted = bytes
  }

  get redelivers (): boolean {
    return true
  }

  get redelivered (): boolean {
    return this.message.fields.redelivered
  }

  /** AMQP 0-9-1 basic.expiration: milliseconds, as a number in a string. */
  get timeToLive (): number {
    const expiration: unknown = this.message.properties.expiration
    return typeof expiration === 'string' && /^\d+$/.test(expiration) ? Number(expiration) : Infinity
  }

  timesBefore (fresh: HeldTimes, now: () => number, maxAge: number): HeldTimes | undefined {
    return timesBefore(this.message.properties.headers, fresh, now, maxAge)
  }

  /** The property `messageId`, if it can be the id of a notification. */
  get messageId (): string | undefined {
    const { messageId } = commonProperties(this.message)
    return isId(messageId) ? messageId : undefined
  }

  async deadLetter (notification: Notification, reason: 'offline' | 'rejected'): Promise<void> {
    const { userId, payload: { id } } = notification
    const rejection = { reason, detail: details[reason], userId, id }
    if (this.isShared) await this.deadLetters.addOne(this, notification, rejection)
    else await this.deadLetters.add(this, rejection)
  }
}
