import { ByPosition } from './by-position.js'
import type { Delivery } from './delivery.js'

export type Waiting = ReturnType<typeof createWaiting>

/** What waits for room at its user's connections where there is no hold; with the broker it is unsettled. */
export function createWaiting (offer: (delivery: Delivery) => boolean) {
  /** By user, then by id, the oldest first. */
  const byUser = new Map<string, ByPosition<string, Delivery>>()

  return {
    /** Whether something of a user waits: then what comes now has to wait too. */
    has: (userId: string): boolean => byUser.has(userId),

    /** What of a user waits under an id. */
    find (userId: string, id: string): Delivery | undefined {
      const delivery = byUser.get(userId)?.get(id)
      // Of some another instance may have told the outcome meanwhile.
      return delivery?.isSettled === true ? undefined : delivery
    },

    add (delivery: Delivery): void {
      const { userId } = delivery
      const waiting = byUser.get(userId) ?? new ByPosition<string, Delivery>(({ id }) => id)
      byUser.set(userId, waiting)
      waiting.add(delivery) // what comes back from a connection that has ended is older than what waits
    },

    /** Hands over what there is room for now. */
    changed (userId: string): void {
      const waiting = byUser.get(userId)
      if (waiting === undefined) return
      for (const delivery of waiting.values()) {
        // What was moved to the dead-letter queue waits in vain.
        if (delivery.origin?.isMoved !== true && !delivery.isSettled && !offer(delivery)) return
        waiting.delete(delivery.id)
      }
      byUser.delete(userId)
    },

    /** Takes out everything of a user. */
    take (userId: string): readonly Delivery[] {
      const waiting = [...byUser.get(userId)?.values() ?? []]
      byUser.delete(userId)
      return waiting
    }
  }
}
