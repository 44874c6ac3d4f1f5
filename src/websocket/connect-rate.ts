const MINUTE = 60_000

/**
 * Limits how many connections a user may open in a minute. Each costs more than it shows: the other instances are told,
 * what is held is read, and dismissals are repeated.
 */
export class ConnectRate {
  readonly #limit: number
  readonly #maxUsers: number
  /** How many connections each user has opened in this minute. */
  readonly #counts = new Map<string, number>()
  #since = -Infinity

  /**
   * @param limit maximum number of connections of a user in a minute
   * @param maxUsers how many users are counted; with more of them, the minute ends early
   */
  constructor (limit: number, maxUsers: number) {
    this.#limit = limit
    this.#maxUsers = maxUsers
  }

  /**
   * Counts a connection that a user is about to open.
   * @returns false if it is one too many
   */
  admit (userId: string): boolean {
    const now = performance.now()
    if (now - this.#since >= MINUTE || this.#counts.size >= this.#maxUsers) {
      this.#since = now
      this.#counts.clear()
    }
    const count = this.#counts.get(userId) ?? 0
    if (count >= this.#limit) return false
    this.#counts.set(userId, count + 1)
    return true
  }
}
