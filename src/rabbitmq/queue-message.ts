import type { ConsumeMessage } from 'amqplib'
import type { HeldTimes, Origin } from '../delivery/doors.js'
import { timesBefore } from './age-headers.js'
import type { DeadLetters } from './dead-letters.js'

/** The broker drops the message after a few more returns. */
export interface NearLimit {
  readonly deliveryCount: number
  readonly deliveryLimit: number
  /** `attempt`: try to deliver the message first. */
  readonly treatment: 'attempt' | 'move'
}

/** A message of a queue, as the origin of a notification. */
export class QueueMessage implements Origin {
  readonly returns = true
  /** Whether the message is moved to the dead-letter queue. Then it is offered to no other client. */
  isMoved = false
  /** When the message arrived, in milliseconds of the monotonic clock; 0 if nothing measures it. */
  receivedAt = 0

  /**
   * @param gone aborts when the broker will deliver the message again
   * @param nearLimit undefined if the message is far from the delivery limit of its queue
   */
  constructor (
    readonly message: ConsumeMessage,
    readonly queue: string,
    readonly gone: AbortSignal,
    private readonly deadLetters: DeadLetters,
    readonly nearLimit: NearLimit | undefined
  ) {}

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

  async deadLetter (): Promise<void> {
    await this.deadLetters.add(this, 'offline', 'the user had no connection')
  }
}
