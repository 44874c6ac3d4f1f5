import { Backoff, type BackoffOptions } from '../backoff.js'

/** Maximum publishes of each type that wait: one per user, or user and group, some 300 bytes each. */
const MAX_WAITING = 100_000

/**
 * Maximum unconfirmed publishes; further ones wait. This is far more than the broker leaves unconfirmed while it
 * accepts publishes.
 */
const MAX_UNCONFIRMED = 10_000

export interface UrgentPublishesParts {
  /** The waits between attempts while the broker accepts no publishes. */
  reconnect: BackoffOptions
  /** Publishes to all instances. `answered` gets whether the broker has accepted the publish. */
  publish (userId: string, body: string, answered: (isTaken: boolean) => void): void
  sent (): void
  unsent (reason: 'overflow'): void
}

/**
 * Messages that the instances of a user must get. Each is published at once, and again until the broker accepts it. It
 * does not wait behind other messages. A newer message for the same user replaces the one that waits.
 */
export class UrgentPublishes {
  readonly #parts: UrgentPublishesParts
  readonly #backoff: Backoff
  /** The bodies that wait, by user, the oldest first. */
  readonly #waiting = new Map<string, string>()
  /** The number of each user's newest unconfirmed publish. */
  readonly #newest = new Map<string, number>()
  #lastNumber = 0
  #unconfirmed = 0
  #retry: NodeJS.Timeout | undefined
  #isClosed = false

  constructor (parts: UrgentPublishesParts) {
    this.#parts = parts
    this.#backoff = new Backoff(parts.reconnect)
  }

  add (userId: string, body: string): void {
    if (this.#isClosed) return
    this.#waiting.delete(userId)
    if (this.#retry !== undefined || this.#unconfirmed >= MAX_UNCONFIRMED) this.#wait(userId, body)
    else this.#publish(userId, body)
  }

  /** The broker may accept publishes again: tries at once. */
  resume (): void {
    clearTimeout(this.#retry)
    this.#retry = undefined
    for (const [userId, body] of this.#waiting) {
      // A publish that is refused synchronously waits again, and sets the timer for the next attempt.
      if (this.#unconfirmed >= MAX_UNCONFIRMED || this.#retry !== undefined) return
      this.#waiting.delete(userId)
      this.#publish(userId, body)
    }
  }

  close (): void {
    this.#isClosed = true
    clearTimeout(this.#retry)
    this.#waiting.clear()
  }

  #wait (userId: string, body: string): void {
    this.#waiting.set(userId, body)
    if (this.#waiting.size <= MAX_WAITING) return
    this.#waiting.delete(this.#waiting.keys().next().value!)
    this.#parts.unsent('overflow')
  }

  #publish (userId: string, body: string): void {
    const number = ++this.#lastNumber
    this.#newest.set(userId, number)
    this.#unconfirmed++
    this.#parts.publish(userId, body, isTaken => {
      this.#unconfirmed--
      const isNewest = this.#newest.get(userId) === number
      if (isNewest) this.#newest.delete(userId)
      if (this.#isClosed) return
      if (isTaken) {
        this.#backoff.reset()
        this.#parts.sent()
        if (this.#retry === undefined && this.#waiting.size > 0) this.resume()
        return
      }
      // If a newer publish has followed, this one is not repeated.
      if (isNewest && !this.#waiting.has(userId)) this.#wait(userId, body)
      this.#retry ??= setTimeout(() => this.resume(), this.#backoff.next())
    })
  }
}
