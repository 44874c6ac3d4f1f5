import type { HoldStore } from '../hold/store.js'

/** How long to wait after a failure, in milliseconds. */
const RETRY = 1_000

/** So many ids go in one call at most: each is an argument of a function, of which the stack holds some tens of thousands. */
const MAX_IDS = 1_000

/**
 * Removes what is settled from the store, gathered, and as often as it takes.
 * @param settledLate is told of what was there, though nobody knew it
 */
export function createRemovals (store: HoldStore, settledLate: (userId: string, id: string) => void) {
  /** What is settled and may still be in the store, by user and id, and whether only the store knows that it is there. */
  const settled = new Map<string, Map<string, boolean>>()
  /** What of it is still to be removed, by user. */
  let due = new Map<string, string[]>()
  const underWay = new Set<Promise<void>>()
  let scheduled: NodeJS.Immediate | undefined
  let retry: NodeJS.Timeout | undefined

  function enqueue (userId: string, ids: string[]): void {
    const queued = due.get(userId)
    if (queued === undefined) due.set(userId, ids)
    else queued.push(...ids)
  }

  async function remove (userId: string, ids: string[]): Promise<void> {
    const ofUser = settled.get(userId)!
    try {
      for (const id of await store.remove(userId, ids)) if (ofUser.get(id)) settledLate(userId, id)
    } catch {
      enqueue(userId, ids) // the store has said that it fails
      retry ??= setTimeout(flush, RETRY)
      return
    }
    for (const id of ids) ofUser.delete(id)
    if (ofUser.size === 0) settled.delete(userId)
  }

  function flush (): void {
    clearImmediate(scheduled)
    clearTimeout(retry)
    scheduled = retry = undefined
    const taken = due
    due = new Map()
    for (const [userId, ids] of taken) {
      for (let from = 0; from < ids.length; from += MAX_IDS) {
        const removal = remove(userId, ids.slice(from, from + MAX_IDS)).finally(() => underWay.delete(removal))
        underWay.add(removal)
      }
    }
  }

  return {
    add (userId: string, id: string, isLate = false): void {
      const ids = settled.get(userId)
      if (ids === undefined) settled.set(userId, new Map([[id, isLate]]))
      else if (ids.has(id)) return
      else ids.set(id, isLate)
      enqueue(userId, [id])
      scheduled ??= setImmediate(flush)
    },

    /** What of a user is settled and may still be read. */
    of: (userId: string): Iterable<string> => settled.get(userId)?.keys() ?? [],

    /** Tries once more to remove everything; what can't be removed will be delivered again. */
    async flush (): Promise<void> {
      flush()
      await Promise.all(underWay)
      clearTimeout(retry)
    }
  }
}
