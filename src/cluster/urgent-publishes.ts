import { Backoff, type BackoffOptions } from '../backoff.js'

/** How many may wait of each type: one for each user, some 300 bytes each. */
const MAX_WAITING = 100_000

/** How many may be unconfirmed; more of them wait. Far more than the broker leaves unconfirmed while it takes publishes. */
const MAX_UNCONFIRMED = 10_000

export interface UrgentPublishesParts {
  /** The waits between tries while the broker takes no publishes. */
  reconnect: BackoffOptions
  /** Publishes to the instances that have a user; told whether the broker has taken it. */
  publish (userId: string, body: string, answered: (isTaken: boolean) => void): void
  sent (): void
  unsent (reason: 'overflow'): void
}

/**
 * What the instances that have a user must hear of: published at once, and again until the broker has taken it. It does
 * not wait behind anything else. A newer one for the same user replaces what waits.
 */
export class UrgentPublishes {
  readonly #parts: UrgentPublishesParts
  readonly #backoff: Backoff
  /** By user, the oldest first. */
  readonly #waiting = new Map<string, string>()
  /** The number of the newest publish of each user that is not confirmed. */
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

  /** The broker takes publishes, perhaps: tries at once. */
  resume (): void {
    clearTimeout(this.#retry)
    this.#retry = undefined
    for (const [userId, body] of this.#waiting) {
      // Whatever is refused at once waits again, and sets the time of the next try.
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
      // One that a newer one has followed is not published again.
      if (isNewest && !this.#waiting.has(userId)) this.#wait(userId, body)
      this.#retry ??= setTimeout(() => this.resume(), this.#backoff.next())
    })
  }
}
