import type { Held } from './store.js'

/** One that waits, with what is worked out once: its bytes, when it expires, and its turn among equal positions. */
export interface Entry extends Held {
  readonly size: number
  readonly until: number
  readonly turn: number
}

/** What waits for one user, by position, then in the order of adding. Adding the newest costs the same however many wait. */
export class WaitingList {
  readonly #entries: Entry[] = []
  readonly #byId = new Map<string, Entry>()
  #bytes = 0
  /** Nothing expires before; may be too early, after a removal. */
  #nextExpiry = Infinity

  get count (): number { return this.#entries.length }
  get bytes (): number { return this.#bytes }
  get nextExpiry (): number { return this.#nextExpiry }

  has (id: string): boolean { return this.#byId.has(id) }

  /** Adds one whose id is not there. */
  add (entry: Entry): void {
    const last = this.#entries.at(-1)
    if (last === undefined || last.position <= entry.position) this.#entries.push(entry)
    else this.#entries.splice(this.#firstAfter(entry), 0, entry)
    this.#byId.set(entry.id, entry)
    this.#bytes += entry.size
    this.#nextExpiry = Math.min(this.#nextExpiry, entry.until)
  }

  /** Takes the oldest out. */
  shift (): Entry | undefined {
    const oldest = this.#entries.shift()
    if (oldest !== undefined) this.#forget(oldest)
    return oldest
  }

  /** Takes some out, and returns those that were there. */
  remove (ids: readonly string[]): Entry[] {
    const found = [...new Set(ids)].flatMap(id => this.#byId.get(id) ?? [])
    this.#takeOut(found)
    return found
  }

  /** Takes out what has expired, oldest first. */
  removeExpired (now: number): Entry[] {
    if (now < this.#nextExpiry) return []
    const expired = this.#entries.filter(({ until }) => until <= now)
    this.#takeOut(expired)
    this.#nextExpiry = this.#entries.reduce((earliest, { until }) => Math.min(earliest, until), Infinity)
    return expired
  }

  /** At most `limit` after a cursor. If that is gone, from its position on. */
  slice (after: Pick<Held, 'position' | 'id'> | undefined, limit: number): Entry[] {
    if (after === undefined) return this.#entries.slice(0, limit)
    const entry = this.#byId.get(after.id)
    const cursor = entry?.position === after.position ? entry : { position: after.position, turn: -1 }
    const from = this.#firstAfter(cursor)
    return this.#entries.slice(from, from + limit)
  }

  #takeOut (some: Entry[]): void {
    if (some.length === 0) return
    for (const entry of some) this.#forget(entry)
    // The oldest are taken out by far the most often, and in order.
    if (some.every((entry, index) => this.#entries[index] === entry)) this.#entries.splice(0, some.length)
    else {
      const left = this.#entries.filter(({ id }) => this.#byId.has(id))
      this.#entries.length = 0
      for (const entry of left) this.#entries.push(entry)
    }
  }

  #forget (entry: Entry): void {
    this.#byId.delete(entry.id)
    this.#bytes -= entry.size
  }

  #firstAfter ({ position, turn }: Pick<Entry, 'position' | 'turn'>): number {
    let low = 0
    let high = this.#entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const entry = this.#entries[middle]!
      if (entry.position < position || (entry.position === position && entry.turn <= turn)) low = middle + 1
      else high = middle
    }
    return low
  }
}
