import { after } from './platform.js'

/** Milliseconds that the server may take to answer a ping. */
const ANSWER_TIMEOUT = 5_000

/** A check that comes this much too late, in milliseconds, means that the page or the computer was asleep. */
const ASLEEP = 1_000

export interface LivenessParts {
  /** Sends a frame that the server answers. */
  ping (): void
  /** The connection is dead. */
  lost (reason: string): void
}

/** Notices that a connection has died without a word. A page sees no WebSocket pings, so the server sends frames too. */
export class Liveness {
  readonly #parts: LivenessParts
  #silence = Infinity
  #seenAt = 0
  #stopChecking = () => {}
  #stopProbe: (() => void) | undefined

  constructor (parts: LivenessParts) {
    this.#parts = parts
  }

  /** @param silence milliseconds without any frame after which the connection is dead, by the server's word */
  start (silence: number): void {
    this.#stopChecking()
    this.#silence = silence
    this.seen()
    this.#checkIn(silence)
  }

  /** A frame has arrived. */
  seen (): void {
    this.#seenAt = performance.now()
    this.#stopProbe?.()
    this.#stopProbe = undefined
  }

  /** Asks the server for an answer. Does nothing if the server does not know the question. */
  probe (): void {
    if (this.#silence === Infinity || this.#stopProbe !== undefined) return
    this.#stopProbe = after(ANSWER_TIMEOUT, () => this.#parts.lost(`no answer within ${ANSWER_TIMEOUT} ms`))
    this.#parts.ping()
  }

  stop (): void {
    this.#silence = Infinity
    this.#stopChecking()
    this.#stopProbe?.()
  }

  #checkIn (delay: number): void {
    this.#stopChecking = after(delay, () => {
      const quiet = performance.now() - this.#seenAt
      if (quiet < this.#silence) return this.#checkIn(this.#silence - quiet)
      if (quiet < this.#silence + ASLEEP) return this.#parts.lost(`nothing came for ${this.#silence} ms`)
      // What arrived during the sleep may still be waiting to be read.
      this.probe()
      this.#checkIn(this.#silence)
    })
  }
}
