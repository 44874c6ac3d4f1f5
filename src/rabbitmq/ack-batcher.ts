import type { Channel, ConsumeMessage } from 'amqplib'

/**
 * How long the oldest message may keep the broker waiting before the others are acked singly, in milliseconds. Clients
 * acknowledge nearly in order, and so do other instances: the oldest message mostly follows in a moment, and then one ack
 * settles them all. Where nothing was waited for, an instance that takes messages for another one acked three of ten singly.
 */
const STALL_TIMEOUT = 5

/**
 * How long an ack may wait for those of the next messages, in milliseconds. Messages that come one by one would each cost
 * a system call here and one at the broker.
 */
const ACK_DELAY = 5

/**
 * The share of the prefetch whose acks don't wait. RabbitMQ delivers fastest if it gets an ack for each 5 to 10 % of the
 * prefetch.
 */
const ACK_SHARE = 1 / 8

/**
 * Acks the messages of one channel, each message once, after its outcome is known.
 *
 * A delivery tag is valid only on its own channel (AMQP 0-9-1 §1.8.3.13). On another channel, the same tag would silently
 * ack a different message. So each channel has its own batcher, which ends with the channel.
 *
 * One ack settles the longest settled prefix. It goes out at the end of the turn of the event loop if it settles a good
 * share of the prefetch, else a moment later. One ack per message would cost more processor time than the rest of the path.
 */
export class AckBatcher {
  readonly #channel: Channel
  readonly #prefetch: number
  /** The oldest unsettled tag. The tags of a channel are 1, 2, 3, … (AMQP 0-9-1 §1.1: delivery-tag). */
  #oldest = 1
  #newest = 0
  /** The newest tag of the settled prefix. */
  #settledUpTo = 0
  /** The newest tag that the broker has a multiple ack for. */
  #ackedUpTo = 0
  /** Settled tags behind an unsettled one, without an ack. */
  readonly #settledAhead = new Set<number>()
  /** Settled tags behind an unsettled one, each with an ack of its own. */
  readonly #ackedAhead = new Set<number>()
  /** The oldest tag when its time was up. As long as it is the oldest, the others don't wait for it. */
  #stalledTag = 0
  #isAlive = true
  #nextFlush: NodeJS.Immediate | undefined
  #delayedFlush: NodeJS.Timeout | undefined
  #stallTimer: NodeJS.Timeout | undefined
  #onSettled: (() => void) | undefined

  /** @param prefetch how many unacked messages the broker allows on the channel */
  constructor (channel: Channel, prefetch: number) {
    this.#channel = channel
    this.#prefetch = prefetch
  }

  /** Notes that a message was delivered. */
  track ({ fields }: ConsumeMessage): void {
    this.#newest = fields.deliveryTag
    this.#watchStall()
  }

  /**
   * Notes that the outcome of a message is known.
   * @returns false if the channel is dead: then the broker delivers the message again
   */
  settle ({ fields: { deliveryTag } }: ConsumeMessage): boolean {
    if (!this.#isAlive) return false
    if (deliveryTag !== this.#oldest) {
      this.#settledAhead.add(deliveryTag)
      this.#watchStall()
      return true
    }
    this.#settledUpTo = this.#oldest++
    while (true) {
      // If the last tag of a multiple ack were acked already, the broker would close the channel.
      if (this.#settledAhead.delete(this.#oldest)) this.#settledUpTo = this.#oldest
      else if (!this.#ackedAhead.delete(this.#oldest)) break
      this.#oldest++
    }
    if (this.#settledUpTo - this.#ackedUpTo >= ACK_SHARE * this.#prefetch) this.#flushSoon()
    else this.#delayedFlush ??= setTimeout(() => this.#flush(false), ACK_DELAY)
    if (this.#oldest > this.#newest) this.#onSettled?.()
    return true
  }

  /** How many messages have no outcome yet. */
  get unsettledCount (): number {
    return this.#isAlive ? this.#unackedCount() - this.#settledAhead.size : 0
  }

  /** Resolves when every delivered message is settled, or when the channel is dead. */
  async allSettled (): Promise<void> {
    if (this.#isAlive && this.#oldest <= this.#newest) await new Promise<void>(resolve => { this.#onSettled = resolve })
  }

  /** Sends an ack for each settled message at once. */
  flush (): void {
    this.#flush(true)
  }

  /** Acks the longest settled prefix at once. */
  flushPrefix (): void {
    this.#flush(false)
  }

  /** The channel is dead: sends no more acks. */
  abandon (): void {
    this.#isAlive = false
    clearImmediate(this.#nextFlush)
    clearTimeout(this.#delayedFlush)
    clearTimeout(this.#stallTimer)
    this.#settledAhead.clear()
    this.#ackedAhead.clear()
    this.#onSettled?.()
  }

  /** How many messages have no ack, without those of the settled prefix. */
  #unackedCount (): number {
    return this.#newest - this.#oldest + 1 - this.#ackedAhead.size
  }

  /** Whether the broker sends nothing until it gets an ack, and single acks could be sent. */
  #isStalled (): boolean {
    return this.#settledAhead.size > 0 && this.#unackedCount() >= this.#prefetch
  }

  #isFarAhead (): boolean {
    return 2 * this.#settledAhead.size >= this.#prefetch
  }

  /** If the broker is stalled, sends single acks, once the time of the oldest message is up. */
  #watchStall (): void {
    if (!this.#isStalled()) return
    if (this.#isOverdue() && this.#isFarAhead()) this.#flushSoon()
    else this.#stallTimer ??= setTimeout(oldest => this.#endStall(oldest), STALL_TIMEOUT, this.#oldest)
  }

  /** @param oldest the oldest unsettled tag when the wait began */
  #endStall (oldest: number): void {
    this.#stallTimer = undefined
    if (this.#oldest !== oldest) return this.#watchStall()
    this.#stalledTag = oldest
    this.#flush(this.#isStalled())
  }

  /** Whether the time of the oldest message is up. */
  #isOverdue (): boolean {
    return this.#stalledTag === this.#oldest
  }

  #flushSoon (): void {
    this.#nextFlush ??= setImmediate(() => this.#flush(this.#isOverdue() && this.#isStalled() && this.#isFarAhead()))
  }

  /** @param withSingles whether to ack singly the messages that are settled behind an unsettled one */
  #flush (withSingles: boolean): void {
    clearImmediate(this.#nextFlush)
    clearTimeout(this.#delayedFlush)
    this.#nextFlush = this.#delayedFlush = undefined
    if (!this.#isAlive) return
    try {
      if (this.#settledUpTo > this.#ackedUpTo) this.#ack(this.#ackedUpTo = this.#settledUpTo, true)
      if (!withSingles) return
      for (const tag of this.#settledAhead) {
        this.#ack(tag, false)
        this.#ackedAhead.add(tag)
      }
      this.#settledAhead.clear()
    } catch {
      // The channel is closing, and amqplib sends nothing more on it: the broker delivers the messages again.
      this.abandon()
    }
  }

  #ack (deliveryTag: number, multiple: boolean): void {
    this.#channel.ack({ fields: { deliveryTag } } as ConsumeMessage, multiple)
  }
}
