import type { Origin } from '../delivery/doors.js'
import type { Connected } from '../delivery/multicast.js'
import type { Payload } from '../delivery/payload.js'
import type { Waiting } from '../delivery/waiting.js'
import { errors } from '../errors.js'
import { groupEntry } from './entries.js'
import { MAX_BODY_BYTES, type Counted, type StopItem } from './frames.js'
import { OutgoingMulticast, type MulticastAsk } from './outgoing-multicast.js'
import type { Peer } from './peer.js'
import { KEPT_TIMEOUTS } from './senders.js'
import type { Unsent } from './unsent.js'
import type { Published } from './wire.js'

export interface OutgoingMulticastsParts {
  /** How long a receipt may take, in milliseconds. */
  receiptTimeout: number
  /** How long a call may wait until the peers are known and the broker has what is for them, in milliseconds. */
  publishTimeout: number
  now (): number
  /** The next number of what peers are asked for. */
  number (): number
  unsent: Pick<Unsent, 'add' | 'sent'>
  /** A multicast waits for `flush`: publishes at once what was taken before it, and then the multicast, if that is possible. */
  keepOrder (): void
  /** Asks for a call of `flush` at the end of this turn. */
  schedule (): void
  /** Whether no peer has welcomed anybody. */
  isAlone (): boolean
  /** All peers. */
  peers (): readonly Peer[]
  /** The peers that have a group. */
  peersOf (entry: string): readonly Peer[]
  /** Calls back when everything that was announced before this call is known here. */
  afterMarker (callback: () => void): () => void
  publish (instance: string, json: string, done: (published: Published) => void): void
  /** Tells a peer to wait no more for its clients that have a multicast. */
  stop (instance: string, stop: StopItem): void
}

/**
 * Asks the peers that have connections of a group, or all of them, to deliver a multicast. Each peer tells what became of it
 * there when all its connections have their outcome.
 */
export class OutgoingMulticasts {
  readonly #parts: OutgoingMulticastsParts
  readonly #multicasts = new Map<number, OutgoingMulticast>()
  /** Those that are to be published, or published again, to some peer. */
  readonly #queued = new Set<OutgoingMulticast>()
  #isClosed = false

  constructor (parts: OutgoingMulticastsParts) {
    this.#parts = parts
  }

  /**
   * Delivers a multicast to those who are connected to peers.
   * @returns undefined if there are no peers
   * @throws FST_NOTIFICATION_TOO_LARGE; FST_NOTIFICATION_PUBLISH_TIMEOUT and FST_NOTIFICATION_PUBLISH_FAILED for a call;
   *   AbortError for a message that its source hands over again
   */
  deliver (audience: Connected, payload: Payload, origin: Origin): OutgoingMulticast | undefined {
    const { isAlone, now, number, publishTimeout } = this.#parts
    if (isAlone()) return undefined
    const multicast = new OutgoingMulticast(number(), audience, payload, origin, origin.redelivers ? Infinity : publishTimeout, now(), this.#parts.stop)
    this.#multicasts.set(multicast.id, multicast)
    this.#check(multicast)
    this.#askAll(multicast)
    this.#parts.keepOrder()
    if (this.#isClosed) queueMicrotask(() => this.#end(multicast))
    return multicast
  }

  /** What waits for the answers of peers. */
  * waiting (): Generator<Waiting, void, undefined> {
    for (const { payload: { id }, origin, takenAt } of this.#multicasts.values()) {
      yield { userId: undefined, id, kind: 'own', origin, cause: 'peers', since: takenAt, connections: 0 }
    }
  }

  /** A peer tells what became of a multicast there. */
  receive (instance: string, [relay, , users, connections, outcomes]: Counted): void {
    const multicast = this.#multicasts.get(relay)
    if (multicast === undefined || !multicast.asks.delete(instance)) return
    multicast.tally.add({ users, connections, outcomes })
    this.#settle(multicast)
  }

  /** The inbox of a peer is gone, and its connections with it. They may come back before it is known that they are gone. */
  peerGone ({ instance }: Peer): void {
    for (const multicast of this.#multicasts.values()) {
      if (!multicast.asks.delete(instance)) continue
      multicast.asked.delete(instance)
      this.#check(multicast)
    }
  }

  /** All users of a peer are known now. */
  usersKnown (): void {
    for (const multicast of this.#multicasts.values()) if (!multicast.isChecked) this.#askAll(multicast)
  }

  /** A peer has another inbox: what was in the old one is lost. */
  peerMoved ({ instance }: Peer): void {
    for (const multicast of this.#multicasts.values()) this.#ask(multicast, multicast.asks.get(instance))
  }

  /**
   * Frames can be published again.
   * @param isNewInbox whether receipts may have been lost
   */
  resume (isNewInbox: boolean): void {
    if (isNewInbox) for (const multicast of this.#multicasts.values()) for (const ask of multicast.asks.values()) this.#ask(multicast, ask)
    this.#parts.schedule()
  }

  /**
   * Publishes what this turn has for the peers.
   * @param publishOlder publishes what was taken before a multicast, by its number, and waits too
   */
  flush (publishOlder: (number: number) => void): void {
    const queued = [...this.#queued].sort((a, b) => a.id - b.id)
    this.#queued.clear()
    for (const multicast of queued) {
      publishOlder(multicast.id)
      for (const ask of multicast.asks.values()) if (ask.state === 'queued') this.#publish(multicast, ask)
    }
  }

  /** Looks for what has no answer. To be called ten times a second. */
  tick (): void {
    const now = this.#parts.now()
    for (const multicast of [...this.#multicasts.values()]) {
      const { origin, asks, isGone } = multicast
      if (isGone) this.#fail(multicast, origin.gone?.reason ?? new DOMException('moved to the dead-letter queue', 'AbortError'))
      else if (multicast.isOverdue(now)) this.#fail(multicast, new errors.PublishTimeout('the other instances', this.#parts.publishTimeout))
      else for (const ask of asks.values()) if (ask.deadline < now) this.#ask(multicast, ask)
    }
  }

  /** No answer can arrive any more. A message returns to its queue. */
  close (): void {
    this.#isClosed = true
    for (const multicast of [...this.#multicasts.values()]) this.#end(multicast)
  }

  #askAll (multicast: OutgoingMulticast): void {
    const { audience: { group }, asks, asked } = multicast
    const { peers, peersOf } = this.#parts
    // Something older may be for users of a peer that are not known yet.
    const having = group === undefined ? peers().filter(({ hasToldUsers }) => hasToldUsers) : peersOf(groupEntry(group))
    const others = having.filter(({ instance }) => !asked.has(instance))
    if (others.length > 0 && multicast.isTooLarge) return this.#refuse(multicast)
    for (const peer of others) {
      asked.add(peer.instance)
      const ask: MulticastAsk = { peer, state: 'queued', deadline: Infinity }
      asks.set(peer.instance, ask)
      this.#ask(multicast, ask)
    }
  }

  /** Asks those too that announced themselves before it was taken, and are not known yet. */
  #check (multicast: OutgoingMulticast): void {
    multicast.waitForBroker(this.#parts.now())
    multicast.isChecked = false
    multicast.forgetMarker()
    multicast.forgetMarker = this.#parts.afterMarker(() => {
      multicast.isChecked = true
      this.#askAll(multicast)
      this.#settle(multicast)
    })
  }

  #publish (multicast: OutgoingMulticast, ask: MulticastAsk): void {
    const { publish, now, receiptTimeout, unsent } = this.#parts
    const time = now()
    ask.state = 'published'
    ask.deadline = time + receiptTimeout
    publish(ask.peer.instance, `[${multicast.encode(time, KEPT_TIMEOUTS * receiptTimeout)}]`, published => {
      if (published !== 'routed') return this.#enqueue(multicast, ask) // for the next flush
      if (ask.state === 'published') ask.state = 'confirmed' // it may be queued again meanwhile
      unsent.sent('multicast')
    })
  }

  /** Publishes it to a peer, or publishes it again. */
  #ask (multicast: OutgoingMulticast, ask: MulticastAsk | undefined): void {
    if (ask === undefined) return
    multicast.waitForBroker(this.#parts.now())
    this.#enqueue(multicast, ask)
    this.#parts.schedule()
  }

  #enqueue (multicast: OutgoingMulticast, ask: MulticastAsk): void {
    ask.state = 'queued'
    ask.deadline = Infinity
    if (this.#multicasts.has(multicast.id)) this.#queued.add(multicast)
  }

  #settle (multicast: OutgoingMulticast): void {
    if (!multicast.isChecked || multicast.asks.size > 0 || !this.#multicasts.delete(multicast.id)) return
    multicast.resolve(multicast.tally)
  }

  #fail (multicast: OutgoingMulticast, error: unknown): void {
    if (!this.#multicasts.delete(multicast.id)) return
    multicast.forgetMarker()
    this.#queued.delete(multicast)
    multicast.reject(error)
  }

  /** The broker would not take it. Those who are connected here get it nevertheless. */
  #refuse (multicast: OutgoingMulticast): void {
    this.#parts.unsent.add('multicast', 'too-large')
    this.#fail(multicast, new errors.TooLarge(MAX_BODY_BYTES))
  }

  #end (multicast: OutgoingMulticast): void {
    if (!multicast.origin.redelivers) this.#fail(multicast, new errors.PublishFailed('the other instances', 'the application is closing'))
    this.#multicasts.delete(multicast.id)
    this.#queued.delete(multicast)
  }
}
