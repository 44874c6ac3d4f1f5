/**
 * Items in the order of their positions. Adding the newest and taking the oldest takes constant time. Adding an older
 * item is rare; the items are then sorted at the next read.
 */
export class ByPosition<Key, Item extends { readonly position: number }> {
  private readonly items = new Map<Key, Item>()
  /** In order if `isSorted`. Entries before `head`, and entries that are no longer in `items`, are deleted items. */
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

  /** Adds an item, in place of another item with the same key. */
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

  /** The items, the oldest first. Items that are deleted during the iteration are skipped. */
  * values (): Generator<Item, void, undefined> {
    if (!this.isSorted) this.sort()
    let last = this.first
    if (last === undefined) return
    yield last
    const { order } = this
    for (let at = this.head + 1; at < order.length; at++) {
      const item = order[at]!
      if (item === last || !this.has(item)) continue // an item that was deleted and added again may be in `order` twice
      yield last = item
    }
  }

  /** The oldest item. */
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

  /** Removes deleted items from `order`. */
  private tidy (): void {
    this.order = this.order.slice(this.head).filter(item => this.has(item))
    this.head = 0
  }
}
