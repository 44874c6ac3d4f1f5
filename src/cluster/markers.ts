export interface MarkersParts {
  /** How long the broker may take to bring a marker back, in milliseconds. Then another one is published. */
  timeout: number
  now (): number
  /** Publishes a marker to the own inbox. */
  publish (mark: number): void
  /** Whether everything is known here that was in the inbox before a marker that has come back. */
  isSettled (): boolean
  /** Asks for a call of `flush` at the end of this turn. */
  schedule (): void
  /** A marker has come back. */
  returned (milliseconds: number): void
}

/**
 * Finds out that nothing announced before this moment is still on its way. A marker is published to the own inbox. When
 * it comes back, everything that was in the inbox before it has been received. One marker serves all who wait for it.
 */
export class Markers {
  readonly #parts: MarkersParts
  /** Those who wait for a marker that is not published yet; for the published one; and for what it has brought to be applied. */
  #next = new Set<() => void>()
  #published = new Set<() => void>()
  #arrived = new Set<() => void>()
  /** The number of the published marker; 0 if there is none. */
  #mark = 0
  #lastMark = 0
  #publishedAt = 0
  #provenAt = -Infinity

  constructor (parts: MarkersParts) {
    this.#parts = parts
  }

  /** When the newest marker that has come back was published: what was in the inbox by then has been received. */
  get provenAt (): number {
    return this.#provenAt
  }

  /**
   * Calls back when everything that was announced before this call is known here.
   * @returns forgets the callback
   */
  after (callback: () => void): () => void {
    this.#next.add(callback)
    this.#parts.schedule()
    return () => { for (const callbacks of [this.#next, this.#published, this.#arrived]) callbacks.delete(callback) }
  }

  /** Publishes a marker for those who wait, unless another one is on its way. */
  flush (): void {
    if (this.#mark !== 0 || this.#next.size === 0) return
    this.#published = this.#next
    this.#next = new Set()
    this.#publish()
  }

  /** A marker has come back. */
  receive (mark: number): void {
    if (mark === 0 || mark !== this.#mark) return
    this.#mark = 0
    this.#provenAt = this.#publishedAt
    this.#parts.returned(this.#parts.now() - this.#publishedAt)
    for (const callback of this.#published) this.#arrived.add(callback)
    this.#published = new Set()
    this.check()
    this.flush()
  }

  /** What those wait for whose marker has come back may be known now. */
  check (): void {
    if (this.#arrived.size === 0 || !this.#parts.isSettled()) return
    const callbacks = this.#arrived
    this.#arrived = new Set()
    for (const callback of callbacks) callback()
  }

  /** The inbox or the publishing channel is a new one, or takes publishes again: a marker on its way may be lost. */
  restart (): void {
    if (this.#mark !== 0) this.#publish()
    else this.flush()
  }

  /** Publishes another marker if one has not come back in time. To be called ten times a second. */
  tick (): void {
    if (this.#mark !== 0 && this.#parts.now() - this.#publishedAt >= this.#parts.timeout) this.#publish()
    this.check()
  }

  #publish (): void {
    this.#mark = ++this.#lastMark
    this.#publishedAt = this.#parts.now()
    this.#parts.publish(this.#mark)
  }
}
