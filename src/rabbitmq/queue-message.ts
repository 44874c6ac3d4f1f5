import type { ConsumeMessage } from 'amqplib'
import type { HeldTimes, Origin } from '../delivery/doors.js'
import { USER_BYTES } from '../delivery/multicast.js'
import type { Notification } from '../delivery/notification.js'
import type { Payload } from '../delivery/payload.js'
import { isId } from '../ids.js'
import { timesBefore } from './age-headers.js'
import { details, type DeadLetters } from './dead-letters.js'
import { commonProperties, DeliveredMessage, detach } from './delivered-message.js'
import type { ChannelBytes } from './unsettled-bytes.js'

/**
 * Bytes of memory of a message that waits for a client, besides its body, its properties and its content: objects, promises
 * and ids. `test/abuse-memory.ts` measures them.
 */
const OVERHEAD = 1_900

/**
 * From how many bytes on a content is kept weakly while its message waits: the body has the same. A shorter one takes about
 * as much as the rest of the message.
 */
const LARGE_CONTENT = 4_096

/**
 * How many bytes of memory a byte of a body takes at most as a text, unless the body is compressed. V8 takes two for each
 * character if one of them is not Latin-1.
 */
const DECODED = 2

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
  /** Decodes the text of the payload again; undefined if that can't be repeated. */
  decodeText: ((message: ConsumeMessage) => string) | undefined
  /** Whether the option `decode` has it, and may have parsed its body. */
  isDecoding = false
  /** How many dead letters of it are being published, and the bytes of their bodies. */
  private copies = 0
  private copiedBytes = 0
  /** Whether the content was needed again while the message waited. */
  private isRestored = false
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

  /** Bytes of memory that it takes while it waits. */
  get bytes (): number {
    const { message: { content }, isDecoding, copies, copiedBytes, payload, propertyBytes, isContentWeak } = this
    // A dead letter has the properties decoded.
    const properties = propertyBytes * (1 + PARSED * copies)
    const body = content.length * (isDecoding ? PARSED : 1)
    return OVERHEAD + properties + body + copiedBytes + (isContentWeak ? 0 : payload?.bytes ?? 0)
  }

  /** Whether the content is kept only in the body while the message waits. A compressed body does not have it. */
  private get isContentWeak (): boolean {
    if (this.decodeText === undefined || this.payload === undefined || this.isRestored) return false
    return this.payload.bytes >= LARGE_CONTENT && this.payload.bytes <= DECODED * this.message.content.length
  }

  /** Its outcome is not known at once: keeps no more than it needs, and counts that. */
  beginToWait (): void {
    const { message, payload, decodeText } = this
    detach(message)
    if (this.isContentWeak) payload!.weaken(() => decodeText!(message), () => this.restored())
    this.occupy()
  }

  private restored (): void {
    this.isRestored = true
    this.occupyAgain()
  }

  /** Counts the memory that it takes for as long as it is unsettled. To be called again when that changes. */
  occupy (): void {
    this.count(this.bytes + USER_BYTES * this.users)
  }

  /** What it takes has changed. */
  private occupyAgain (): void {
    if (this.isCounted) this.occupy()
  }

  /** It waits for the outcomes of so many more users, or of fewer if it is negative. */
  addUsers (count: number): void {
    this.users += count
    this.occupyAgain()
  }

  /** A dead letter of it is being published. Returns what to call at the end of that. */
  addCopy (bytes: number): () => void {
    this.changeCopies(1, bytes)
    return () => this.changeCopies(-1, -bytes)
  }

  private changeCopies (count: number, bytes: number): void {
    this.copies += count
    this.copiedBytes += bytes
    this.occupyAgain()
  }

  private get propertyBytes (): number {
    return this.message instanceof DeliveredMessage ? this.message.headerBytes : 0
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
    const { expiration } = commonProperties(this.message)
    return typeof expiration === 'string' && /^\d+$/.test(expiration) ? Number(expiration) : Infinity
  }

  timesBefore (fresh: HeldTimes, now: () => number, maxAge: number): HeldTimes | undefined {
    return timesBefore(commonProperties(this.message).headers, fresh, now, maxAge)
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
