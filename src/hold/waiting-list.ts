import { lowerBound } from '../lists.js'
import type { Held } from './store.js'

/**
 * A waiting notification, with values that are computed once: its bytes, its expiry time, and its turn among equal
 * positions.
 */
export interface Entry extends Held {
  readonly size: number
  /** Bytes of memory that it takes. */
  readonly memory: number
  readonly until: number
  readonly turn: number
}

/**
 * The waiting notifications of one user, by position, then in the order of adding. Adding the newest one costs the same
 * for any length of the list.
 */
export class WaitingList {
  /** Entries before `#head` are removed. To shift an array of 200,000 entries takes a millisecond each time. */
  #entries: Array<Entry | undefined> = []
  #head = 0
  readonly #byId = new Map<string, Entry>()
  #bytes = 0
  #memory = 0
  /** No entry expires before this time. It may be too early after a removal. */
  #nextExpiry = Infinity

  get count (): number { return this.#entries.length - this.#head }
  get bytes (): number { return this.#bytes }
  get memory (): number { return this.#memory }
  get nextExpiry (): number { return this.#nextExpiry }

  get (id: string): Entry | undefined { return this.#byId.get(id) }

  /** Adds an entry. Its id must not be in the list. */
  add (entry: Entry): void {
    const last = this.#entries.at(-1)
    if (last === undefined || last.position <= entry.position) this.#entries.push(entry)
    else this.#entries.splice(this.#firstAfter(entry), 0, entry)
    this.#byId.set(entry.id, entry)
    this.#bytes += entry.size
    this.#memory += entry.memory
    this.#nextExpiry = Math.min(this.#nextExpiry, entry.until)
  }

  /** Removes the oldest entry, and returns it. */
  shift (): Entry | undefined {
    const oldest = this.#entries[this.#head]
    if (oldest === undefined) return undefined
    this.#forget(oldest)
    this.#drop(1)
    return oldest
  }

  /** Removes entries by id, and returns those that were there. */
  remove (ids: readonly string[]): Entry[] {
    const found = [...new Set(ids)].flatMap(id => this.#byId.get(id) ?? [])
    this.#takeOut(found)
    return found
  }

  /** Removes the expired entries, and returns them, oldest first. */
  removeExpired (now: number): Entry[] {
    if (now < this.#nextExpiry) return []
    const expired = this.#from(0).filter(({ until }) => until <= now)
    this.#takeOut(expired)
    this.#nextExpiry = this.#from(0).reduce((earliest, { until }) => Math.min(earliest, until), Infinity)
    return expired
  }

  /** Gets at most `limit` entries after a cursor. If the cursor's entry is gone, begins at the cursor's position. */
  slice (after: Pick<Held, 'position' | 'id'> | undefined, limit: number): Entry[] {
    if (after === undefined) return this.#from(0, limit)
    const entry = this.#byId.get(after.id)
    const cursor = entry?.position === after.position ? entry : { position: after.position, turn: -1 }
    return this.#from(this.#firstAfter(cursor) - this.#head, limit)
  }

  /** Gets at most `limit` entries, without the oldest `skipped` ones. */
  #from (skipped: number, limit = this.count): Entry[] {
    const start = this.#head + skipped
    return this.#entries.slice(start, start + limit) as Entry[]
  }

  /** Removes the oldest entries. Frees their room in the array when it is half of the array. */
  #drop (count: number): void {
    this.#entries.fill(undefined, this.#head, this.#head + count)
    this.#head += count
    if (2 * this.#head < this.#entries.length) return
    this.#entries = this.#entries.slice(this.#head)
    this.#head = 0
  }

  #takeOut (some: Entry[]): void {
    if (some.length === 0) return
    for (const entry of some) this.#forget(entry)
    // By far the most often, the oldest entries are removed, in order.
    if (some.every((entry, index) => this.#entries[this.#head + index] === entry)) this.#drop(some.length)
    else {
      this.#entries = this.#from(0).filter(({ id }) => this.#byId.has(id))
      this.#head = 0
    }
  }

  #forget (entry: Entry): void {
    this.#byId.delete(entry.id)
    this.#bytes -= entry.size
    this.#memory -= entry.memory
  }

  #firstAfter ({ position, turn }: Pick<Entry, 'position' | 'turn'>): number {
    const isUpTo = (entry: Entry) => entry.position < position || (entry.position === position && entry.turn <= turn)
    return lowerBound(this.#entries, entry => isUpTo(entry!), this.#head) // from the head on there are no gaps
  }
}
