import { steadyNow } from '../clock.js'
import { textBytes } from '../text-bytes.js'
import { SizeClasses } from './size-classes.js'
import { expiryOf, sizeOf, type Held, type HoldHooks, type ManagedHoldStore, type TotalBounds } from './store.js'
import { WaitingList, type Entry } from './waiting-list.js'

// Approximate heap bytes of an entry and of a user, besides their text. They, and the text as V8 stores it, make `totalBytes` a limit of real memory.
const ENTRY_BYTES = 256
const USER_BYTES = 512

/**
 * Keeps notifications in this process. They are lost when the process ends: see `unsaved()`.
 *
 * If `totalBytes` is exceeded, the store drops the oldest notification of one of the users who have most bytes.
 */
export class MemoryHold implements ManagedHoldStore {
  readonly isShared = false
  readonly failing = false
  readonly lastError = undefined
  readonly dismissals = undefined
  readonly #bounds: TotalBounds
  readonly #dropped: HoldHooks['dropped']
  readonly #now: () => number
  /** Users with at least one notification. */
  readonly #users = new Map<string, WaitingList>()
  /** By what they take of `totalBytes`. */
  readonly #bySize = new SizeClasses()
  #size = 0
  #bytes = 0
  /** The turn of the next notification that is added. */
  #turn = 0
  /** No notification expires before this time. */
  #nextExpiry = Infinity

  constructor (bounds: TotalBounds, { dropped, now = steadyNow }: HoldHooks) {
    this.#bounds = bounds
    this.#dropped = dropped
    this.#now = now
  }

  get size (): number {
    return this.#size
  }

  async add (userId: string, held: Held): Promise<string[] | 'known'> {
    const { maxAge, maxBytes, totalBytes } = this.#bounds
    const list = this.#users.get(userId)
    if (list !== undefined) this.#dropExpired(userId, list)
    const same = list?.get(held.id)
    if (same !== undefined) return same.position === held.position ? [] : 'known'
    const size = sizeOf(held)
    const until = expiryOf(held, maxAge)
    if (until <= this.#now()) return this.#refuse('expired', userId, held)
    const memory = ENTRY_BYTES + textBytes(held.id) + textBytes(held.content)
    // Kept, it would push out all other notifications, and then itself.
    if (size > maxBytes || memory + USER_BYTES > totalBytes) return this.#refuse('overflow', userId, held)
    const { id, content, position, expiresAt } = held
    return this.#makeRoom(userId, this.#keep(userId, { id, content, position, expiresAt, size, memory, until, turn: this.#turn++ }))
  }

  async read (userId: string, after: Pick<Held, 'position' | 'id'> | undefined, limit: number, maxBytes = Infinity): Promise<Held[]> {
    const list = this.#users.get(userId)
    if (list === undefined) return []
    this.#dropExpired(userId, list)
    const entries = list.slice(after, limit)
    let bytes = 0
    const end = entries.findIndex(({ content }, index) => (bytes += content.length) > maxBytes && index > 0)
    return (end < 0 ? entries : entries.slice(0, end)).map(toHeld)
  }

  async remove (userId: string, ids: readonly string[]): Promise<string[]> {
    const list = this.#users.get(userId)
    if (list === undefined) return []
    const removed = list.remove(ids)
    this.#forget(userId, list, removed)
    return removed.map(({ id }) => id)
  }

  * unsaved (): Generator<[string, Held[]]> {
    for (const [userId, list] of [...this.#users]) {
      this.#dropExpired(userId, list)
      if (list.count > 0) yield [userId, list.slice(undefined, list.count).map(toHeld)]
    }
  }

  sweep (): void {
    if (this.#now() < this.#nextExpiry) return
    this.#nextExpiry = Infinity
    for (const [userId, list] of this.#users) {
      this.#dropExpired(userId, list)
      if (list.count > 0) this.#nextExpiry = Math.min(this.#nextExpiry, list.nextExpiry)
    }
  }

  async close (): Promise<void> {
    this.#users.clear()
    this.#bySize.clear()
    this.#size = this.#bytes = 0
  }

  /** Adds an entry to its user's list. */
  #keep (userId: string, entry: Entry): WaitingList {
    let list = this.#users.get(userId)
    if (list === undefined) {
      this.#users.set(userId, list = new WaitingList())
      this.#bytes += USER_BYTES
    }
    this.#bySize.move(userId, list.memory, list.memory + entry.memory)
    list.add(entry)
    this.#size++
    this.#bytes += entry.memory
    this.#nextExpiry = Math.min(this.#nextExpiry, entry.until)
    return list
  }

  /**
   * Drops the oldest notifications until all limits are kept.
   * @returns the ids of this user that were dropped
   */
  #makeRoom (userId: string, list: WaitingList): string[] {
    const { maxCount, maxBytes, totalBytes } = this.#bounds
    const ids: string[] = []
    while (list.count > maxCount || list.bytes > maxBytes) ids.push(this.#dropOldest(userId, list))
    while (this.#bytes > totalBytes) {
      const largest = this.#bySize.largest!
      const oldest = this.#dropOldest(largest, this.#users.get(largest)!)
      if (largest === userId) ids.push(oldest)
    }
    return ids
  }

  #dropOldest (userId: string, list: WaitingList): string {
    const oldest = list.shift()!
    this.#forget(userId, list, [oldest])
    this.#dropped('overflow', 1, userId, [oldest.id])
    return oldest.id
  }

  #dropExpired (userId: string, list: WaitingList): void {
    const expired = list.removeExpired(this.#now())
    if (expired.length === 0) return
    this.#forget(userId, list, expired)
    this.#dropped('expired', expired.length, userId, expired.map(({ id }) => id))
  }

  #refuse (reason: 'overflow' | 'expired', userId: string, { id }: Held): string[] {
    this.#dropped(reason, 1, userId, [id])
    return [id]
  }

  /** Counts entries that are no longer in their user's list. */
  #forget (userId: string, list: WaitingList, gone: readonly Entry[]): void {
    const freed = gone.reduce((sum, { memory }) => sum + memory, 0)
    this.#size -= gone.length
    this.#bytes -= freed
    this.#bySize.move(userId, list.memory + freed, list.memory)
    if (list.count === 0 && this.#users.delete(userId)) this.#bytes -= USER_BYTES
  }
}

function toHeld ({ id, content, position, expiresAt }: Entry): Held {
  return { id, content, position, expiresAt }
}
