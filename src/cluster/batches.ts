import { inParts } from '../lists.js'
import type { Published } from './wire.js'

/** Maximum items per frame, some 300 KB. The broker refuses a message that is too large, however often it is sent. */
const MAX_ITEMS = 10_000

/** Begins with the number of a relay, and what is told of it. */
type Told = readonly [relay: number, state: string, ...rest: unknown[]]

/** What is told of each relay, by instance, the newest last. */
type Waiting<Item> = Map<string, Map<string, Item>>

/**
 * Batches what one turn of the event loop has for each instance. What the broker may not have got is sent again. While it
 * takes no publishes, peers repeat their relays: the same answer waits once.
 */
export class Batches<Item extends Told> {
  #next: Waiting<Item> = new Map()
  /** What the broker may not have got. It is older than the rest. */
  #again: Waiting<Item> = new Map()

  /**
   * @param schedule asks for a call of `flush` at the end of this turn
   * @param publish publishes a batch, as JSON
   */
  constructor (
    private readonly schedule: () => void,
    private readonly publish: (instance: string, json: string, done: (published: Published) => void) => void
  ) {}

  add (instance: string, item: Item): void {
    put(this.#next, instance, [item])
    this.schedule()
  }

  /** Whether an item that waits fulfils a condition. */
  some (condition: (item: Item) => boolean): boolean {
    for (const waiting of [this.#again, this.#next]) {
      for (const items of waiting.values()) for (const item of items.values()) if (condition(item)) return true
    }
    return false
  }

  flush (): void {
    if (this.#next.size + this.#again.size === 0) return
    const due = this.#again
    for (const [instance, items] of this.#next) put(due, instance, items.values())
    this.#next = new Map()
    this.#again = new Map()
    for (const [instance, items] of due) this.#publish(instance, [...items.values()])
  }

  #publish (instance: string, items: readonly Item[]): void {
    for (const batch of inParts(items, MAX_ITEMS)) {
      this.publish(instance, JSON.stringify(batch), published => {
        if (published === 'unknown') put(this.#again, instance, batch)
      })
    }
  }
}

function put<Item extends Told> (waiting: Waiting<Item>, instance: string, items: Iterable<Item>): void {
  let byKey = waiting.get(instance)
  if (byKey === undefined) waiting.set(instance, byKey = new Map())
  for (const item of items) {
    const key = `${item[0]} ${item[1]}`
    byKey.delete(key) // what is told last comes last
    byKey.set(key, item)
  }
}
