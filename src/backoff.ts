/** A wait is up to a fifth shorter or longer than planned, so that many clients do not reconnect at once. */
const JITTER = 0.2

/** How long to wait between tries, in milliseconds. */
export interface BackoffOptions {
  readonly initialDelay: number
  /** Maximum wait, including jitter. */
  readonly maxDelay: number
}

/** Computes the waits between tries. The wait is doubled each time, until `reset()`. */
export class Backoff {
  readonly #options: BackoffOptions
  #planned: number

  constructor (options: BackoffOptions) {
    this.#options = options
    this.#planned = options.initialDelay
  }

  /** The next wait, in milliseconds. */
  next (): number {
    const { maxDelay } = this.#options
    const planned = Math.min(this.#planned, maxDelay / (1 + JITTER))
    this.#planned = Math.min(this.#planned * 2, maxDelay)
    return Math.round(planned * (1 - JITTER + 2 * JITTER * Math.random()))
  }

  /** Makes the next wait the initial delay again. */
  reset (): void {
    this.#planned = this.#options.initialDelay
  }
}
