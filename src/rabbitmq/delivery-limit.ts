import type { ConsumeMessage } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'

/**
 * What to do with a message, by how often it was returned to the queue:
 * - `route`: deliver it like any other message
 * - `attempt`: deliver it, and move it to the dead-letter queue if its outcome is not known soon
 * - `move`: move it to the dead-letter queue at once
 */
export type Treatment = 'route' | 'attempt' | 'move'

/** The share of the limit at which messages are moved. The rest allows a few moves to fail without a loss. */
const MOVE_FROM = 0.75

/** The share of the limit at which a warning is logged. */
const WARN_FROM = 0.25

/** The shortest time between two warnings for a queue, in milliseconds: a returned message is mostly returned again. */
const WARN_INTERVAL = 60 * 60 * 1_000

/**
 * Decides how to treat a message. The broker drops a message that is returned once its count has reached the limit.
 * @param count how often it was returned
 * @param limit the delivery limit of the queue
 */
export function treatmentOf (count: number, limit: number): Treatment {
  const first = Math.max(1, Math.floor(limit * MOVE_FROM))
  if (count < first) return 'route'
  // The first half of the remaining returns is for the user, who may be connected now; the second half is for the move.
  return count < limit && 2 * (limit - count) >= limit - first ? 'attempt' : 'move'
}

/** How often each unsettled message of one channel was returned before, by delivery tag. */
export type ReturnCounts = Map<number, number>

/** Watches how close the messages of a queue come to its delivery limit. */
export class DeliveryLimitWatch {
  /** How often a message may be returned before the broker drops it. */
  limit = Infinity
  /** Holds only messages that were returned at least once. */
  private counts: ReturnCounts = new Map()
  private warnedAt = -Infinity

  constructor (private readonly queue: string, private readonly log: FastifyBaseLogger) {}

  /**
   * Begins with a new channel. Until then, `highest` reports the channel before.
   * @returns the counts of the new channel. The caller deletes the count of each message that is settled
   */
  begin (limit: number): ReturnCounts {
    this.limit = limit
    this.counts = new Map()
    return this.counts
  }

  /**
   * Counts a delivered message.
   * @param counts of the channel of the message
   * @returns how often the message was returned
   */
  count (counts: ReturnCounts, message: ConsumeMessage): number {
    const { redelivered, deliveryTag } = message.fields
    // At the first delivery, the header can only come from the publisher.
    if (!redelivered || this.limit === Infinity) return 0
    const count: unknown = message.properties.headers?.['x-delivery-count']
    if (typeof count !== 'number' || !(count > 0)) return 0
    counts.set(deliveryTag, count)
    if (count >= this.limit * WARN_FROM) this.warn(count)
    return count
  }

  /** The highest count of the unsettled messages. */
  get highest (): number {
    let highest = 0
    for (const count of this.counts.values()) highest = Math.max(highest, count)
    return highest
  }

  /** Whether an unsettled message is near the limit. */
  get isNear (): boolean {
    return this.highest >= this.limit * WARN_FROM
  }

  private warn (deliveryCount: number): void {
    const now = performance.now()
    if (now - this.warnedAt < WARN_INTERVAL) return
    this.warnedAt = now
    this.log.warn({ queue: this.queue, deliveryCount, deliveryLimit: this.limit }, 'messages come close to the delivery limit')
  }
}
