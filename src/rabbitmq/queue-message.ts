import type { ConsumeMessage } from 'amqplib'
import type { HeldTimes, Origin } from '../delivery/doors.js'
import { timesBefore } from './age-headers.js'
import type { DeadLetters } from './dead-letters.js'

/** A message that the broker drops when it is returned a few times more. */
export interface NearLimit {
  readonly deliveryCount: number
  readonly deliveryLimit: number
  /** Whether to look first whether its user takes it now. */
  readonly treatment: 'attempt' | 'move'
}

/** A message that a queue has delivered, as the origin of a notification. */
export class QueueMessage implements Origin {
  readonly returns = true
  /** It is moved to the dead-letter queue: nothing more is done for it, unless a client has it already. */
  isMoved = false
  /** When it arrived, in milliseconds of the monotonic clock; 0 if nobody measures. */
  receivedAt = 0

  /**
   * @param gone aborts when the broker will deliver the message again
   * @param nearLimit undefined if it is far from the delivery limit of its queue
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
