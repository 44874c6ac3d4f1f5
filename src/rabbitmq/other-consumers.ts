import type { FastifyBaseLogger } from 'fastify'
import { Reminder } from '../reminder.js'

/** The interval between two looks, in milliseconds. */
const INTERVAL = 5_000

/**
 * How long after a lost connection to look for the first time, in milliseconds. Until the broker has missed the heartbeats
 * of the lost connection, it counts the consumer of that connection too.
 */
const GRACE = 30_000

/**
 * Looks again and again for other consumers of a queue that only this instance should consume: without `cluster: true`
 * they take messages for users who are connected here.
 */
export class OtherConsumers {
  readonly #queue: string
  readonly #log: FastifyBaseLogger
  readonly #reminder = new Reminder()
  #count = 0
  #timer: NodeJS.Timeout | undefined
  /** Aborts when the consumer has ended. */
  #watching: AbortController | undefined
  #hasLooked = false

  constructor (queue: string, log: FastifyBaseLogger) {
    this.#queue = queue
    this.#log = log
  }

  /** How many there were at the last look. */
  get count (): number {
    return this.#count
  }

  /**
   * Begins to look: at once the first time, and some time after each lost connection.
   * @param countAll asks the broker how many consumers the queue has, this one included
   */
  watch (countAll: () => Promise<number>): void {
    this.end()
    const { signal } = this.#watching = new AbortController()
    // One look at a time: while the read gate of the connection is shut, no answer is read, and each look takes a channel.
    const look = async () => {
      const count = await countAll().catch(() => undefined) // the connection has ended
      if (signal.aborted) return
      this.#timer = setTimeout(look, INTERVAL)
      if (count !== undefined) this.#found(count - 1)
    }
    if (this.#hasLooked) this.#timer = setTimeout(look, GRACE)
    else void look()
    this.#hasLooked = true
  }

  /** The consumer has ended. */
  end (): void {
    clearTimeout(this.#timer)
    this.#watching?.abort()
  }

  #found (count: number): void {
    const before = this.#count
    this.#count = Math.max(0, count)
    if (this.#count > before) this.#reminder.reset()
    if (this.#count > 0 && this.#reminder.isDue()) this.#log.warn({ queue: this.#queue, consumers: this.#count }, 'another consumer takes part of the messages, for users who may be connected here: set cluster: true on all instances')
    if (this.#count === 0 && before > 0) this.#log.info({ queue: this.#queue }, 'no other consumer takes part of the messages any more')
  }
}
