import type { Delivery } from './delivery.js'

export type Waiting = ReturnType<typeof createWaiting>

/** What waits for room at its user's connections where there is no hold; with the broker it is unsettled. */
export function createWaiting (offer: (delivery: Delivery) => boolean) {
  const byUser = new Map<string, Set<Delivery>>()
  /**
   * What is being offered. A connection that proves too slow for it ends meanwhile, so that others come to wait, and what
   * waits is asked for again.
   */
  let offered: Delivery | undefined

  return {
    /** Whether something of a user waits: then what comes now has to wait too. */
    has: (userId: string): boolean => byUser.has(userId),

    add (delivery: Delivery): void {
      const waiting = byUser.get(delivery.userId)
      if (waiting === undefined) byUser.set(delivery.userId, new Set([delivery]))
      else waiting.add(delivery)
    },

    /** Hands over what there is room for now. */
    changed (userId: string): void {
      const waiting = byUser.get(userId)
      if (waiting === undefined || offered?.userId === userId) return
      for (const delivery of waiting) { // those that are added meanwhile too
        offered = delivery
        // Of some another instance may have told the outcome meanwhile.
        const isDone = delivery.isSettled || offer(delivery)
        offered = undefined
        if (!isDone) return
        waiting.delete(delivery)
      }
      byUser.delete(userId)
    },

    /** Takes out everything of a user, but what is being offered: of that is known later whether somebody took it. */
    take (userId: string): readonly Delivery[] {
      const waiting = byUser.get(userId)
      if (waiting === undefined) return []
      const taken = [...waiting].filter(delivery => delivery !== offered)
      for (const delivery of taken) waiting.delete(delivery)
      if (waiting.size === 0) byUser.delete(userId)
      return taken
    }
  }
}
