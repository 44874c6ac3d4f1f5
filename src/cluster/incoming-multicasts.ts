import type { Connected, Summary } from '../delivery/multicast.js'
import { payloadFromJson } from '../delivery/notification.js'
import type { Payload } from '../delivery/payload.js'
import type { Counted, MulticastItem } from './frames.js'
import { Recent } from './recent.js'
import { Senders } from './senders.js'

export interface IncomingMulticastsParts {
  /** How long a receipt may take, in milliseconds. */
  receiptTimeout: number
  now (): number
  /** Delivers to those who are connected here. */
  multicast (audience: Connected, payload: Payload, redelivered: boolean): Summary | Promise<Summary>
  /** Waits no more for the clients here that have one of these. */
  stopAll (payloads: ReadonlySet<Payload>): void
  /** Something in a frame can't be used. */
  malformed (): void
  /** Sends a receipt to an instance. */
  reply (instance: string, counted: Counted): void
}

/** The multicasts of one other instance. */
class Sender {
  /** Those that have no outcome yet. */
  readonly pending = new Map<number, Payload>()
  /** The receipts of those that have their outcomes. */
  readonly done: Recent<Counted>

  constructor (period: number, now: number) {
    this.done = new Recent(period, now)
  }

  tick (now: number): void {
    this.done.tick(now)
  }

  get isEmpty (): boolean {
    return this.pending.size === 0 && this.done.isEmpty
  }
}

/** Delivers what peers send to a group, or to everybody, on this instance. Each multicast is delivered once, however often it arrives. */
export class IncomingMulticasts {
  readonly #parts: IncomingMulticastsParts
  readonly #senders: Senders<Sender>

  constructor (parts: IncomingMulticastsParts) {
    this.#parts = parts
    this.#senders = new Senders(parts, (period, now) => new Sender(period, now))
  }

  /** A peer sends a multicast. */
  receive (instance: string, { relay, id, json, group, except = [], redelivered }: MulticastItem): void {
    const { multicast, reply, malformed } = this.#parts
    const sender = this.#senders.open(instance)
    const known = sender.done.get(relay)
    if (known !== undefined) return reply(instance, known)
    if (sender.pending.has(relay)) return // its receipt follows
    let payload: Payload
    try {
      payload = payloadFromJson(id, json)
    } catch {
      return malformed()
    }
    sender.pending.set(relay, payload)
    const end = ({ users, connections, outcomes }: Summary) => {
      const counted: Counted = [relay, 'counted', users, connections, outcomes]
      sender.pending.delete(relay)
      sender.done.set(relay, counted)
      reply(instance, counted)
    }
    const summary = multicast({ group, except: new Set(except) }, payload, redelivered === true)
    if (summary instanceof Promise) void summary.then(end)
    else end(summary)
  }

  /** A peer waits no more for clients that have its multicasts. Their receipts follow. */
  stop (instance: string, relays: readonly number[]): void {
    const pending = this.#senders.get(instance)?.pending
    this.#parts.stopAll(new Set(relays.flatMap(relay => pending?.get(relay) ?? [])))
  }

  /** Forgets old receipts. To be called ten times a second. */
  tick (): void {
    this.#senders.tick()
  }
}
