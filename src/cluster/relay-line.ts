import { lowerBound } from '../lists.js'
import type { Peer } from './peer.js'
import type { Ask } from './relay.js'
import { excessOf } from './spread.js'
import type { Published } from './wire.js'

/** Maximum items and bytes per frame. A single item may exceed the byte limit. */
const MAX_ITEMS = 100
const MAX_BYTES = 262_144

export interface RelayLineParts {
  /** How long a peer may take to answer, in milliseconds. Then it is asked again. */
  receiptTimeout: number
  now (): number
  publish (inbox: string, items: string, done: (published: Published) => void): void
  /** The user's previous relay to the same peer that has no answer; undefined if there is none. */
  previous (ask: Ask): Ask | undefined
  /** Whether a relay need not be sent any more, as its source delivers the notification again. */
  isGone (ask: Ask): boolean
  /** The broker has a relay for the peer. */
  confirmed (ask: Ask): void
  /** Asks the peer for what must come before a relay, and nobody has. */
  askOlder (ask: Ask): void
  /**
   * The broker knows no inbox of a peer.
   * @param heard how many frames of it had arrived when it was asked
   */
  returned (peer: Peer, inbox: string, heard: number): void
}

/** What one peer is asked to deliver, in the order of the relays' numbers. All that one turn has for it goes in one frame. */
export class RelayLine {
  /** By the number of the relay: the asks that have no outcome, and those of relays that are over while the broker has not confirmed them. */
  readonly asks = new Map<number, Ask>()
  readonly #parts: RelayLineParts
  #queue: Ask[] = []
  #isSorted = true

  constructor (readonly peer: Peer, parts: RelayLineParts) {
    this.#parts = parts
  }

  /** Asks the peer. The frame goes out with the next `flush`. */
  add (ask: Ask): void {
    this.asks.set(ask.relay.id, ask)
    this.#enqueue(ask)
  }

  /** Asks again for what the peer may not have received, or has not answered. */
  repeat (isDue: (ask: Ask) => boolean): void {
    for (const ask of this.asks.values()) if (ask.state !== 'queued' && isDue(ask)) this.#enqueue(ask)
  }

  /** Asks again for what the peer has not answered in time, and for what is behind that. */
  repeatOverdue (now: number): void {
    const isOverdue = ({ state, deadline }: Ask): boolean => state === 'confirmed' && deadline <= now
    const oldest = new Map<string, number>()
    for (const ask of this.asks.values()) {
      const { relay: { id, delivery: { userId } } } = ask
      if (isOverdue(ask) && !ask.isTaken) oldest.set(userId, Math.min(id, oldest.get(userId) ?? Infinity))
    }
    // The peer does not answer what is behind one that it has not got.
    this.repeat(ask => isOverdue(ask) || (!ask.isTaken && ask.relay.id > (oldest.get(ask.relay.delivery.userId) ?? Infinity)))
  }

  /** No answer is needed any more. */
  forget (ask: Ask): void {
    // What is on its way to an inbox that turns out to be gone must not be published behind newer relays.
    if (ask.state !== 'published' || !ask.relay.isSpread) this.asks.delete(ask.relay.id)
  }

  /** While nothing can be published: forgets what is not to be sent any more, so that it does not pile up. */
  dropSettled (): void {
    const queue = this.#queue.filter(ask => this.#isCurrent(ask))
    const excess = excessOf(queue.map(({ relay }) => relay))
    this.#queue = queue.filter(({ relay }) => !excess.has(relay))
  }

  /** Whether there is nothing to send, and no answer is awaited. */
  get isEmpty (): boolean {
    return this.asks.size + this.#queue.length === 0
  }

  /**
   * Publishes what waits.
   * @param before only the relays with smaller numbers
   */
  flush (before: number): void {
    for (const ask of this.#queue) { // to which older ones are added
      if (ask.relay.id < before && ask.state === 'queued' && this.#isCurrent(ask)) this.#parts.askOlder(ask)
    }
    if (!this.#isSorted) this.#queue.sort((a, b) => a.relay.id - b.relay.id)
    this.#isSorted = true
    const queue = this.#queue.splice(0, lowerBound(this.#queue, ({ relay }) => relay.id < before)).filter(ask => this.#isWanted(ask))
    for (let start = 0; start < queue.length;) start = this.#publishBatch(queue, start)
  }

  #enqueue (ask: Ask): void {
    ask.state = 'queued'
    if (ask.relay.isOver) this.asks.delete(ask.relay.id)
    const last = this.#queue.at(-1)
    if (last !== undefined && last.relay.id > ask.relay.id) this.#isSorted = false
    this.#queue.push(ask)
  }

  #isWanted (ask: Ask): boolean {
    return ask.state === 'queued' && !this.#parts.isGone(ask) && this.#isCurrent(ask)
  }

  /** Whether the peer still has to be asked. */
  #isCurrent (ask: Ask): boolean {
    return ask.relay.isOver ? ask.relay.isSpread : this.asks.get(ask.relay.id) === ask
  }

  /** Returns the index of the first one that did not fit. */
  #publishBatch (queue: readonly Ask[], start: number): number {
    const { now, receiptTimeout, publish, previous } = this.#parts
    const items: string[] = []
    let end = start
    for (let bytes = 0; end < queue.length && items.length < MAX_ITEMS; end++) {
      const ask = queue[end]!
      const before = previous(ask)
      if (before !== undefined && !ask.relay.isHere) ask.isAfter = true
      const item = ask.relay.encode(ask.attempt, before)
      bytes += item.length
      if (items.length > 0 && bytes > MAX_BYTES) break
      items.push(item)
      ask.state = 'published'
      this.asks.set(ask.relay.id, ask)
      ask.publishedAt = now()
      ask.deadline = ask.publishedAt + receiptTimeout
    }
    const batch = queue.slice(start, end)
    const { inbox, heard } = this.peer
    publish(inbox, `[${items.join()}]`, published => this.#published(batch, inbox, heard, published))
    return end
  }

  #published (batch: readonly Ask[], inbox: string, heard: number, published: Published): void {
    const { confirmed, returned } = this.#parts
    for (const ask of batch) {
      if (ask.state !== 'published' || !this.#isCurrent(ask)) continue
      if (published !== 'routed') {
        this.#enqueue(ask)
        continue
      }
      ask.state = 'confirmed'
      if (ask.relay.isOver) this.asks.delete(ask.relay.id)
      confirmed(ask)
    }
    if (published === 'routed') return
    // The peer ignores what is behind one that it has not got.
    const [{ relay: { id: oldest } }] = batch as [Ask]
    this.repeat(({ relay, isTaken }) => relay.id > oldest && !isTaken)
    if (published === 'returned') returned(this.peer, inbox, heard)
  }
}
