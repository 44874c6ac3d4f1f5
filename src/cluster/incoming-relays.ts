import type { FastifyBaseLogger } from 'fastify'
import { Delivery } from '../delivery/delivery.js'
import type { Outcome, Result } from '../delivery/doors.js'
import { fromJson, type Notification } from '../delivery/notification.js'
import { withoutText } from '../without-text.js'
import type { Receipt, ReceiptState, RelayedItem, SettledState } from './frames.js'
import { Recent } from './recent.js'
import { Senders } from './senders.js'

/** What a receipt tells of a relay. */
type Answer = readonly [state: ReceiptState, connections: number]

/** Most relays have one of these answers: an object for each relay would keep the garbage collector busy. */
const FREQUENT: readonly Answer[] = [['sent', 1], ['acknowledged', 1], ['held', 0]]

function answerOf (state: ReceiptState, connections: number): Answer {
  return FREQUENT.find(answer => answer[0] === state && answer[1] === connections) ?? [state, connections]
}

interface Refusal {
  /** Of the relay; undefined if its sender does not count them. */
  readonly attempt: number | undefined
  readonly connections: number
}

/** The relays that one other instance has sent. */
class Sender {
  /** Relays that have no outcome yet. */
  readonly pending = new Map<number, Delivery>()
  /** Answers to relays that have an outcome. A relay that arrives again gets the same answer. */
  readonly done: Recent<Answer>
  /** Relays that were refused. */
  readonly refused: Recent<Refusal>
  /** Relays that could not be delivered here. The peer repeats them. */
  readonly failed: Recent<true>

  constructor (period: number, now: number) {
    this.done = new Recent(period, now)
    this.refused = new Recent(period, now)
    this.failed = new Recent(period, now)
  }

  tick (now: number): void {
    this.done.tick(now)
    this.refused.tick(now)
    this.failed.tick(now)
  }

  /** A relay could not be delivered here. */
  fail (relay: number): void {
    this.pending.delete(relay)
    this.failed.set(relay, true)
  }

  /** Whether a relay has arrived, and was not refused. */
  has (relay: number): boolean {
    return this.pending.has(relay) || this.done.get(relay) !== undefined || this.failed.get(relay) === true
  }

  get isEmpty (): boolean {
    return this.pending.size === 0 && this.done.isEmpty && this.refused.isEmpty && this.failed.isEmpty
  }
}

export interface IncomingRelaysParts {
  log: FastifyBaseLogger
  /** A relay can't be used. */
  malformed (): void
  /** How long a receipt may take, in milliseconds. */
  receiptTimeout: number
  now (): number
  /** Resolves when a user's connection here is announced, or has left; undefined if none waits. */
  pending (userId: string): Promise<void> | undefined
  /** Runs a function at the end of this turn: who is announced in it is admitted by then. */
  defer (run: () => void): void
  /** Whether a user has a connection here that is admitted. */
  isHere (userId: string): boolean
  /** Hands a delivery to the user's connections. The outcome is `offline` if there are none. */
  host (delivery: Delivery): Result | Promise<Result>
  /** Sends a receipt to an instance. */
  reply (instance: string, receipt: Receipt): void
  settledElsewhere (delivery: Delivery, outcome: SettledState): void
}

/** Delivers what peers relay to this instance. Each relay is delivered once, however often it arrives. */
export class IncomingRelays {
  readonly #parts: IncomingRelaysParts
  readonly #senders: Senders<Sender>
  /** Relays of users whose connection waits for its admission, by user, instance and number. */
  readonly #waiting = new Map<string, Map<string, Map<number, RelayedItem>>>()

  constructor (parts: IncomingRelaysParts) {
    this.#parts = parts
    this.#senders = new Senders(parts, (period, now) => new Sender(period, now))
  }

  /** A peer relays a notification. */
  receive (instance: string, item: RelayedItem): void {
    const { userId, relay } = item
    // A relay that arrives in the turn of the admission must not overtake those that wait.
    let waiting = this.#waiting.get(userId)
    if (waiting === undefined) {
      // The peer may know of a user before the broker has confirmed the announcement. Held notifications come first.
      // The user's other connections need not wait: what is held reaches them too, and must not overtake the relay.
      const announced = this.#parts.isHere(userId) ? undefined : this.#parts.pending(userId)
      if (announced === undefined) return this.#receive(instance, item)
      this.#waiting.set(userId, waiting = new Map())
      const admitted = announced.then(async () => await new Promise<void>(resolve => this.#parts.defer(resolve)))
      admitted.then(() => this.#receiveWaiting(userId)).catch((err: unknown) => this.#parts.log.error({ error: withoutText(err), userId }, 'relay failed unexpectedly'))
    }
    const items = waiting.get(instance) ?? new Map<number, RelayedItem>()
    waiting.set(instance, items.set(relay, item)) // a peer may repeat it, as redelivered too
  }

  /** Another instance has settled a relay. */
  settled (instance: string, relay: number, outcome: SettledState): void {
    const sender = this.#senders.get(instance)
    const delivery = sender?.pending.get(relay)
    if (sender === undefined || delivery === undefined) return
    sender.pending.delete(relay)
    sender.done.set(relay, answerOf(outcome, 0))
    this.#parts.settledElsewhere(delivery, outcome)
  }

  /** Forgets old receipts. To be called ten times a second. */
  tick (): void {
    this.#senders.tick()
  }

  close (): void {
    this.#senders.clear()
    this.#waiting.clear()
  }

  #receiveWaiting (userId: string): void {
    const waiting = this.#waiting.get(userId)
    this.#waiting.delete(userId)
    for (const [instance, items] of waiting ?? []) {
      // A peer that asks again for one that had been taken here has sent newer ones meanwhile.
      for (const item of [...items.values()].sort((a, b) => a.relay - b.relay)) this.#receive(instance, item)
    }
  }

  #receive (instance: string, item: RelayedItem): void {
    const { reply } = this.#parts
    const { relay, attempt, after, afterAttempt, behind, redelivered = false } = item
    const sender = this.#senders.open(instance)
    const known = sender.done.get(relay)
    const pending = sender.pending.get(relay)
    if (known !== undefined) return reply(instance, [relay, ...known])
    if (pending !== undefined) {
      if (redelivered) pending.redelivered = true // another instance may have delivered it meanwhile
      return reply(instance, [relay, 'taken', pending.connections])
    }
    const refused = sender.refused.get(relay)
    if (attempt !== undefined && refused?.attempt === attempt) return reply(instance, [relay, 'nobody', refused.connections])
    if (after !== undefined) {
      // Else it would overtake the one before it, which the peer relays again, maybe to this instance.
      const previous = sender.refused.get(after)
      if (previous !== undefined && previous.attempt === afterAttempt) return this.#refuse(instance, sender, relay, attempt, 0)
      if (!sender.has(after)) return // it was lost: the peer repeats both
    }
    if (behind !== undefined && !sender.has(behind) && sender.refused.get(behind) === undefined) return // it was lost too
    sender.refused.delete(relay)
    this.#host(instance, sender, item)
  }

  #host (instance: string, sender: Sender, item: RelayedItem): void {
    const { host, log, malformed, reply } = this.#parts
    const { relay, attempt, userId, id, json, position, expiresAt = Infinity, redelivered = false, trace } = item
    let notification: Notification
    try {
      notification = fromJson(userId, id, json)
    } catch {
      sender.fail(relay)
      return malformed()
    }
    const delivery = new Delivery({ ...notification, trace }, undefined, position, expiresAt, 'guest')
    let result: Result | Promise<Result>
    try {
      delivery.redelivered = redelivered
      sender.pending.set(relay, delivery)
      result = host(delivery)
    } catch (err) {
      log.error({ error: withoutText(err), userId }, 'relay failed unexpectedly') // the peer repeats it
      sender.fail(relay)
      return
    }
    if (!(result instanceof Promise)) return this.#conclude(instance, sender, relay, attempt, result, delivery)
    reply(instance, [relay, 'taken', delivery.connections])
    // settled() may have removed the relay meanwhile.
    result.then(result => { if (sender.pending.has(relay)) this.#conclude(instance, sender, relay, attempt, result, delivery) }, () => sender.fail(relay))
  }

  #conclude (instance: string, sender: Sender, relay: number, attempt: number | undefined, { outcome, connections }: Result, { isOverdue }: Delivery): void {
    const state = isOverdue ? 'overdue' : toReceiptState(outcome)
    sender.pending.delete(relay)
    if (state === 'nobody') return this.#refuse(instance, sender, relay, attempt, connections)
    sender.done.set(relay, answerOf(state, connections))
    this.#parts.reply(instance, [relay, state, connections])
  }

  #refuse (instance: string, sender: Sender, relay: number, attempt: number | undefined, connections: number): void {
    sender.refused.set(relay, { attempt, connections })
    this.#parts.reply(instance, [relay, 'nobody', connections])
  }
}

/** The outcome for a receipt. Other peers may have the user, so `offline` becomes `nobody`. */
function toReceiptState (outcome: Outcome): ReceiptState {
  return outcome === 'offline' ? 'nobody' : outcome
}
