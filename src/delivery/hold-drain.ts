import { ByPosition } from './by-position.js'
import type { Delivery } from './delivery.js'
import type { Held } from './doors.js'

/** A user's notifications on their way into the store and out of it. While it exists, nothing newer may overtake them. */
export class HoldDrain {
  /** Not kept yet. */
  readonly adding = new ByPosition<Delivery, Delivery>(item => item)
  isReading = false
  /** The last one that was delivered; undefined to begin with the oldest. */
  cursor: Held | undefined
  /** The position of the last one that was read to be delivered: what is added before it was missed. */
  reached = -Infinity
  /** Rises with everything that is worth another look. */
  version = 0
  /** Whether one was added before those that were read: then reading begins anew. */
  isRewound = false
  /** The position of the oldest that was added since the last read began: the read may have missed it. */
  firstAdded = Infinity
  /** What was settled since the last read began: the read may have it nevertheless. */
  settled = new Set<string>()
  wake: () => void = () => {}

  /** Begins with the oldest again. */
  begin (): void {
    this.cursor = undefined
    this.reached = -Infinity
    this.isRewound = false
  }

  /** Something has changed: whoever waits looks again. */
  touch (): void {
    this.version++
    this.wake()
  }

  /** Resolves with the next change, or with one of `others`, which are told by a signal that they are not needed any more. */
  async changed (others: (over: AbortSignal) => Array<Promise<void>> = () => []): Promise<void> {
    const over = new AbortController()
    await Promise.race([new Promise<void>(resolve => { this.wake = resolve }), ...others(over.signal)])
    over.abort()
  }

  /** The position of the oldest that is not kept yet; Infinity if there is none. Newer ones have to wait for it. */
  get firstAdding (): number {
    return this.adding.first?.position ?? Infinity
  }
}
