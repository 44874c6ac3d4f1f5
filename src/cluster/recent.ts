/** Remembers values for one to two periods. */
export class Recent<Value> {
  #current = new Map<number, Value>()
  #older = new Map<number, Value>()
  #begunAt: number

  /**
   * @param period in milliseconds
   * @param now the time, in milliseconds
   */
  constructor (private readonly period: number, now: number) {
    this.#begunAt = now
  }

  get (key: number): Value | undefined {
    return this.#current.get(key) ?? this.#older.get(key)
  }

  set (key: number, value: Value): void {
    this.#current.set(key, value)
  }

  delete (key: number): void {
    this.#current.delete(key)
    this.#older.delete(key)
  }

  /** Forgets what is too old. To be called now and then. */
  tick (now: number): void {
    if (now - this.#begunAt < this.period) return
    this.#begunAt = now
    this.#older = this.#current
    this.#current = new Map()
  }

  get isEmpty (): boolean {
    return this.#current.size + this.#older.size === 0
  }
}
