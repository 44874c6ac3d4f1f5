import { ByPosition } from './by-position.js'
import type { Delivery } from './delivery.js'
import type { Held } from './doors.js'

/** A user's notifications on their way into and out of the store. Nothing newer may overtake them while it exists. */
export class HoldTransit {
  /** Deliveries that the store does not have yet. */
  readonly adding = new ByPosition<Delivery, Delivery>(item => item)
  isReading = false
  /** Whether the last call of the store for this user has failed. Then what is newer does not wait for what can't be reached. */
  isFailing = false
  /** The last notification that was delivered; undefined to begin with the oldest. */
  cursor: Held | undefined
  /** The position of the last notification that was read for delivery. What is added before it was missed. */
  reached = -Infinity
  /** Rises with every change that may require another read. */
  version = 0
  /** Whether a notification was added before the ones that were read: then reading restarts from the oldest. */
  isRewound = false
  /** The position of the oldest notification that was added since the last read began. The read may have missed it. */
  firstAdded = Infinity
  /** Ids that were settled since the last read began. The read may still return them. */
  settled = new Set<string>()
  wake: () => void = () => {}

  /** Restarts from the oldest. */
  begin (): void {
    this.cursor = undefined
    this.reached = -Infinity
    this.isRewound = false
  }

  /** Reports a change, and wakes whoever waits for one. */
  touch (): void {
    this.version++
    this.wake()
  }

  /** Resolves with the next change, or with one of `others`. Aborts `over` then, so that the rest stop waiting. */
  async changed (others: (over: AbortSignal) => Array<Promise<void>> = () => []): Promise<void> {
    const over = new AbortController()
    await Promise.race([new Promise<void>(resolve => { this.wake = resolve }), ...others(over.signal)])
    over.abort()
  }

  /** The position of the oldest delivery that the store does not have yet; Infinity if none. Newer ones wait for it. */
  get firstAdding (): number {
    return this.adding.first?.position ?? Infinity
  }
}
