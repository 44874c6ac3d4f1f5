import type { ConsumeMessage } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'

/**
 * What to do with a message, by how often it was returned to the queue:
 * - `route`: as with any other
 * - `attempt`: the same, and move it to the dead-letter queue where its outcome is not known soon
 * - `move`: move it to the dead-letter queue at once
 */
export type Treatment = 'route' | 'attempt' | 'move'

/** From this part of the limit on a message is moved, so that a move that fails a few times loses nothing. */
const MOVE_FROM = 0.75

/** From this part of the limit on there is a warning. */
const WARN_FROM = 0.25

/** A queue is warned of once in this time, in milliseconds: what is returned once is mostly returned again. */
const WARN_INTERVAL = 60 * 60 * 1_000

/**
 * The broker drops a message that is returned when its count is at the limit already.
 * @param count how often it was returned
 * @param limit the delivery limit of the queue
 */
export function treatmentOf (count: number, limit: number): Treatment {
  const first = Math.max(1, Math.floor(limit * MOVE_FROM))
  if (count < first) return 'route'
  // The first half of what is left is for its user, who may be there now; the second for the move.
  return count < limit && 2 * (limit - count) >= limit - first ? 'attempt' : 'move'
}

/** How often what one channel has delivered, and is unsettled, was returned before. */
export type ReturnCounts = Map<number, number>

/** Watches how close the messages of a queue come to its delivery limit. */
export class DeliveryLimitWatch {
  /** How often a message may be returned before the broker drops it. */
  limit = Infinity
  /** By delivery tag; only of what was returned at all. */
  private counts: ReturnCounts = new Map()
  private warnedAt = -Infinity

  constructor (private readonly queue: string, private readonly log: FastifyBaseLogger) {}

  /**
   * Begins with a new channel: until here the counts are those of the one before.
   * @returns the counts of this channel, from which settled messages are to be taken out
   */
  begin (limit: number): ReturnCounts {
    this.limit = limit
    this.counts = new Map()
    return this.counts
  }

  /**
   * A message was delivered.
   * @param counts those of its channel
   * @returns how often it was returned
   */
  count (counts: ReturnCounts, { fields: { redelivered, deliveryTag }, properties: { headers } }: ConsumeMessage): number {
    // At the first delivery the header is the publisher's own.
    if (!redelivered || this.limit === Infinity) return 0
    const count: unknown = headers?.['x-delivery-count']
    if (typeof count !== 'number' || !(count > 0)) return 0
    counts.set(deliveryTag, count)
    if (count >= this.limit * WARN_FROM) this.warn(count)
    return count
  }

  /** The highest count of what is unsettled. */
  get highest (): number {
    let highest = 0
    for (const count of this.counts.values()) highest = Math.max(highest, count)
    return highest
  }

  /** Whether something is unsettled that is moved soon. */
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
