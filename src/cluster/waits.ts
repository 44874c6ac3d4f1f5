import { appendTo } from '../lists.js'

/** Those who wait for something of a user. */
export class Waits {
  readonly #byUser = new Map<string, Array<() => void>>()

  /** Whether anybody waits for a user. */
  has (userId: string): boolean {
    return this.#byUser.has(userId)
  }

  /** Resolves at the next `end` for a user. */
  add (userId: string): Promise<void> {
    return new Promise(resolve => appendTo(this.#byUser, userId, resolve))
  }

  /** Ends every wait for a user. */
  end (userId: string): void {
    const waiting = this.#byUser.get(userId)
    if (waiting === undefined) return
    this.#byUser.delete(userId)
    for (const resolve of waiting) resolve()
  }

  /** Ends every wait. */
  endAll (): void {
    for (const userId of [...this.#byUser.keys()]) this.end(userId)
  }
}
