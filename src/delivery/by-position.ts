/**
 * Items by the order of their positions. To add the newest, and to take the oldest, costs the same however many there are.
 * An older one, which is rare, is put into its place when somebody looks.
 */
export class ByPosition<Key, Item extends { readonly position: number }> {
  private readonly items = new Map<Key, Item>()
  /** In order, if `isSorted`. Those before `head`, and those that are no longer in `items`, have gone. */
  private order: Item[] = []
  private head = 0
  private isSorted = true

  constructor (private readonly keyOf: (item: Item) => Key) {}

  get size (): number {
    return this.items.size
  }

  get (key: Key): Item | undefined {
    return this.items.get(key)
  }

  /** Adds an item; another one with the same key goes. */
  add (item: Item): void {
    const key = this.keyOf(item)
    if (this.items.get(key) === item) return
    this.items.set(key, item)
    if (this.order.length > 2 * this.items.size + 100) this.tidy()
    if (this.order.length > 0 && item.position < this.order.at(-1)!.position) this.isSorted = false
    this.order.push(item)
  }

  delete (key: Key): void {
    this.items.delete(key)
    if (this.items.size === 0) this.tidy()
  }

  /** The oldest first; those that are deleted meanwhile are left out. */
  * values (): Generator<Item, void, undefined> {
    if (!this.isSorted) this.sort()
    let last = this.first
    if (last === undefined) return
    yield last
    const { order } = this
    for (let at = this.head + 1; at < order.length; at++) {
      const item = order[at]!
      if (item === last || !this.has(item)) continue // an item that was removed and added again may be in the list twice
      yield last = item
    }
  }

  /** The oldest one. */
  get first (): Item | undefined {
    if (!this.isSorted) this.sort()
    while (this.head < this.order.length && !this.has(this.order[this.head]!)) this.head++
    return this.order[this.head]
  }

  private has (item: Item): boolean {
    return this.items.get(this.keyOf(item)) === item
  }

  private sort (): void {
    this.tidy()
    this.order.sort((a, b) => a.position - b.position)
    this.isSorted = true
  }

  /** Lets go of those that have gone. */
  private tidy (): void {
    this.order = this.order.slice(this.head).filter(item => this.has(item))
    this.head = 0
  }
}
