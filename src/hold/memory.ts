import { steadyNow } from '../clock.js'
import { expiryOf, sizeOf, type Bounds, type Held, type HoldHooks, type ManagedHoldStore } from './store.js'
import { WaitingList, type Entry } from './waiting-list.js'

// Approximate heap bytes of an entry and of a user, besides their text. They make `totalBytes` a limit of real memory.
const ENTRY_BYTES = 256
const USER_BYTES = 512

/**
 * Keeps notifications in this process. They are lost when the process ends: see `unsaved()`.
 *
 * If `totalBytes` is exceeded, the store drops the oldest notification of the user who has had notifications waiting
 * for the longest time.
 * @param bounds limits for each user, and `totalBytes` for all users, including the overhead of the store
 */
export function createMemoryHold (
  { maxCount, maxAge, maxBytes, totalBytes }: Bounds & { readonly totalBytes: number },
  { dropped, now = steadyNow }: HoldHooks
): ManagedHoldStore {
  /** Users with at least one notification, in the order in which they began to have one. */
  const users = new Map<string, WaitingList>()
  let size = 0
  let bytes = 0
  let turn = 0
  /** No notification expires before this time. */
  let nextExpiry = Infinity

  function settle (userId: string, list: WaitingList, gone: readonly Entry[]): void {
    size -= gone.length
    for (const entry of gone) bytes -= entry.size + ENTRY_BYTES
    if (list.count > 0 || !users.delete(userId)) return
    bytes -= USER_BYTES
  }

  function dropExpired (userId: string, list: WaitingList): void {
    const expired = list.removeExpired(now())
    if (expired.length === 0) return
    settle(userId, list, expired)
    dropped('expired', expired.length, userId, expired.map(({ id }) => id))
  }

  function dropOldest (userId: string, list: WaitingList): string {
    const oldest = list.shift()!
    settle(userId, list, [oldest])
    dropped('overflow', 1, userId, [oldest.id])
    return oldest.id
  }

  function keep (userId: string, entry: Entry): WaitingList {
    let list = users.get(userId)
    if (list === undefined) {
      users.set(userId, list = new WaitingList())
      bytes += USER_BYTES
    }
    list.add(entry)
    size++
    bytes += entry.size + ENTRY_BYTES
    nextExpiry = Math.min(nextExpiry, entry.until)
    return list
  }

  function add (userId: string, held: Held): string[] | 'known' {
    const present = users.get(userId)
    if (present !== undefined) dropExpired(userId, present)
    const same = present?.get(held.id)
    if (same !== undefined) return same.position === held.position ? [] : 'known'
    const ownSize = sizeOf(held)
    const until = expiryOf(held, maxAge)
    if (until <= now()) return refuse('expired', userId, held)
    // Kept, it would push out all other notifications, and then itself.
    if (ownSize > maxBytes || ownSize + ENTRY_BYTES + USER_BYTES > totalBytes) return refuse('overflow', userId, held)

    const { id, content, position, expiresAt } = held
    const list = keep(userId, { id, content, position, expiresAt, size: ownSize, until, turn: turn++ })
    const ids: string[] = []
    while (list.count > maxCount || list.bytes > maxBytes) ids.push(dropOldest(userId, list))
    while (isFull()) {
      const [longest, theirs] = users.entries().next().value!
      const oldest = dropOldest(longest, theirs)
      if (longest === userId) ids.push(oldest)
    }
    return ids
  }

  function isFull (): boolean {
    return bytes > totalBytes
  }

  function refuse (reason: 'overflow' | 'expired', userId: string, { id }: Held): string[] {
    dropped(reason, 1, userId, [id])
    return [id]
  }

  return {
    async add (userId, held) { return add(userId, held) },

    async read (userId, after, limit) {
      const list = users.get(userId)
      if (list === undefined) return []
      dropExpired(userId, list)
      return list.slice(after, limit).map(toHeld)
    },

    async remove (userId, ids) {
      const list = users.get(userId)
      if (list === undefined) return []
      const removed = list.remove(ids)
      settle(userId, list, removed)
      return removed.map(({ id }) => id)
    },

    * unsaved () {
      for (const [userId, list] of [...users]) {
        dropExpired(userId, list)
        if (list.count > 0) yield [userId, list.slice(undefined, list.count).map(toHeld)]
      }
    },

    sweep () {
      if (now() < nextExpiry) return
      nextExpiry = Infinity
      for (const [userId, list] of users) {
        dropExpired(userId, list)
        if (list.count > 0) nextExpiry = Math.min(nextExpiry, list.nextExpiry)
      }
    },

    get size () { return size },
    failing: false,
    lastError: undefined,

    async close () {
      users.clear()
      size = bytes = 0
    }
  }
}

function toHeld ({ id, content, position, expiresAt }: Entry): Held {
  return { id, content, position, expiresAt }
}
