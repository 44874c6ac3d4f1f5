/** The first wait before trouble is logged again, and the longest, in milliseconds. */
const FIRST = 60_000
const LONGEST = 3_600_000

/** Says when to log trouble that lasts: at once, after a minute, and then after twice as long each time, an hour at most. */
export class Reminder {
  readonly #now: () => number
  #next = -Infinity
  #wait = FIRST

  /** @param now a monotonic clock, in milliseconds */
  constructor (now = () => performance.now()) {
    this.#now = now
  }

  /** Whether to log the trouble now. */
  isDue (): boolean {
    const now = this.#now()
    if (now < this.#next) return false
    this.#next = now + this.#wait
    this.#wait = Math.min(2 * this.#wait, LONGEST)
    return true
  }

  /** The trouble is over. */
  reset (): void {
    this.#next = -Infinity
    this.#wait = FIRST
  }
}
