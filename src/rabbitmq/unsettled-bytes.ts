/** Counts the memory of the unsettled messages of all queues, and tells when there is room again. */
export class UnsettledBytes {
  readonly #limit: number
  /** Called once when there is room. */
  readonly #waiting = new Set<() => void>()
  #bytes = 0

  /** @param limit in bytes. A single message may exceed it */
  constructor (limit: number) {
    this.#limit = limit
  }

  get bytes (): number {
    return this.#bytes
  }

  get isFull (): boolean {
    return this.#bytes >= this.#limit
  }

  change (bytes: number): void {
    this.#bytes += bytes
    if (this.#waiting.size === 0 || this.isFull) return
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }

  whenRoom (wake: () => void): void {
    this.#waiting.add(wake)
  }
}

/** The part of one channel. When the channel is dead, its messages count no more: the broker delivers them again. */
export class ChannelBytes {
  readonly #all: UnsettledBytes
  #bytes = 0
  #isOpen = true

  constructor (all: UnsettledBytes) {
    this.#all = all
  }

  change (bytes: number): void {
    if (!this.#isOpen) return
    this.#bytes += bytes
    this.#all.change(bytes)
  }

  close (): void {
    this.change(-this.#bytes)
    this.#isOpen = false
  }
}
