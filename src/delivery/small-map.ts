/**
 * A Map, in the order of insertion, that has one entry most of the time. Before there are two it needs no table: to make
 * and collect one for each notification that awaits an ack costs 1 µs.
 */
export class SmallMap<Key, Value> {
  /** The only entry; undefined while there is another number of them. */
  #key: Key | undefined
  #value: Value | undefined
  /** All entries, if there are two or more, or were since the map was last empty. */
  #table: Map<Key, Value> | undefined

  get size (): number {
    if (this.#table !== undefined) return this.#table.size
    return this.#value === undefined ? 0 : 1
  }

  get (key: Key): Value | undefined {
    if (this.#table !== undefined) return this.#table.get(key)
    return this.#key === key ? this.#value : undefined
  }

  has (key: Key): boolean {
    return this.get(key) !== undefined
  }

  /** @param value not undefined */
  set (key: Key, value: Value & ({} | null)): void {
    if (this.#table !== undefined) {
      this.#table.set(key, value)
    } else if (this.#value === undefined || this.#key === key) {
      this.#key = key
      this.#value = value
    } else {
      this.#table = new Map([[this.#key!, this.#value], [key, value]])
      this.#key = this.#value = undefined
    }
  }

  delete (key: Key): void {
    if (this.#table !== undefined) {
      this.#table.delete(key)
      if (this.#table.size === 0) this.#table = undefined
    } else if (this.#key === key) {
      this.#key = this.#value = undefined
    }
  }

  /** The values. What is deleted during the iteration is skipped. */
  values (): Iterable<Value> {
    if (this.#table !== undefined) return this.#table.values()
    return this.#value === undefined ? NONE : [this.#value]
  }
}

const NONE: readonly never[] = []
