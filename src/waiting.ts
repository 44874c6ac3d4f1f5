import type { Delivery } from './delivery.js'

export type Waiting = ReturnType<typeof createWaiting>

/** What waits for room at its user's connections where there is no hold; with the broker it is unsettled. */
export function createWaiting (offer: (delivery: Delivery) => boolean) {
  const byUser = new Map<string, Delivery[]>()

  return {
    /** Whether something of a user waits: then what comes now has to wait too. */
    has: (userId: string): boolean => byUser.has(userId),

    add (delivery: Delivery): void {
      const waiting = byUser.get(delivery.userId)
      if (waiting === undefined) byUser.set(delivery.userId, [delivery])
      else waiting.push(delivery)
    },

    /** Hands over what there is room for now. */
    changed (userId: string): void {
      const waiting = byUser.get(userId)
      if (waiting === undefined) return
      // Of some another instance may have told the outcome meanwhile.
      const refused = waiting.findIndex(delivery => !delivery.isSettled && !offer(delivery))
      if (refused === -1) byUser.delete(userId)
      else waiting.splice(0, refused)
    },

    /** Takes out everything of a user. */
    take (userId: string): readonly Delivery[] {
      const waiting = byUser.get(userId) ?? []
      byUser.delete(userId)
      return waiting
    }
  }
}
