import type { FastifyBaseLogger } from 'fastify'
import { steadyNow } from '../clock.js'
import { asksPeers, decide, type Situation, type Step } from './decide.js'
import { Delivery } from './delivery.js'
import type { HoldStore, Observer, Origin, Outcome, PeerListener, Peers, Result, Subscriber } from './doors.js'
import { Hold } from './hold.js'
import { InFlight } from './in-flight.js'
import { Mailboxes } from './mailbox.js'
import type { Notification } from './notification.js'
import type { Registry } from './registry.js'

const OFFLINE: Result = { outcome: 'offline', connections: 0 }
const DEAD_LETTERED: Result = { outcome: 'dead-lettered', connections: 0 }

export interface DispatcherParts {
  options: DispatcherOptions
  subscribers: Registry
  /** With `offline: 'hold'`. */
  store: HoldStore | undefined
  observer: Observer
  log: FastifyBaseLogger
  /** A connection has left something unacknowledged for too long: closes it. */
  overdue (subscriber: Subscriber): void
}

export interface DispatcherOptions {
  readonly settle: 'sent' | 'acknowledged'
  readonly offline: 'drop' | 'dead-letter' | 'hold'
  readonly maxUnacked: number
  readonly ackTimeout: number
  readonly dismiss: boolean
  readonly cluster: boolean
  readonly hold: { readonly redis?: unknown, readonly maxAge: number }
}

/** Takes every notification, and finds out what becomes of it. */
export class Dispatcher implements PeerListener {
  readonly #parts: DispatcherParts
  readonly #mailboxes = new Mailboxes()
  readonly #inFlight: InFlight
  readonly #hold: Hold | undefined
  /** Nothing ever waits: a socket takes a notification at once, or nobody does. */
  readonly #isDirect: boolean
  #peers: Peers | undefined
  /** Peers, and whoever shares the Redis, compare these times with their own, so they need the wall clock. */
  readonly #now: () => number
  #lastPosition = 0
  #isClosing = false

  constructor (parts: DispatcherParts) {
    const { options, subscribers, store, log } = parts
    const mailboxes = this.#mailboxes
    this.#parts = parts
    this.#now = options.cluster || options.hold.redis !== undefined ? Date.now : steadyNow
    this.#isDirect = options.settle === 'sent' && store === undefined && !options.cluster
    this.#inFlight = new InFlight({
      ...options,
      awaitsAcks: options.settle === 'acknowledged',
      subscribers,
      mailboxes,
      delivered: (delivery, outcome) => this.#delivered(delivery, outcome)
    })
    this.#hold = store && new Hold({
      store,
      subscribers,
      mailboxes,
      inFlight: this.#inFlight,
      log,
      kept: (delivery, outcome) => this.#kept(delivery, outcome),
      failed: (delivery, error) => this.fail(delivery, error),
      abandoned: delivery => this.abandon(delivery),
      settledLate: (userId, id) => this.#parts.observer.settledLate(userId, id)
    })
  }

  /** Says who the peers are, with `cluster: true`. To be called before anything is delivered. */
  connect (peers: Peers): void {
    this.#peers = peers
  }

  /**
   * Delivers a notification to every connection of its user.
   * @param origin where it comes from
   * @param isForAll whether the peers have been told already
   * @param before a delivery whose place it takes in the order of its user
   * @returns its result: at once if it is known at once
   * @throws FST_NOTIFICATION_PUBLISH_FAILED, FST_NOTIFICATION_PUBLISH_TIMEOUT, FST_NOTIFICATION_HOLD_FAILED for a call
   */
  deliver (notification: Notification, origin: Origin, isForAll = false, before?: Delivery): Result | Promise<Result> {
    if (this.#isDirect) return this.#send(notification, origin)
    const { userId, payload: { id } } = notification
    const mailbox = this.#mailboxes.get(userId)
    const same = mailbox?.find(id)
    if (same !== undefined) {
      // Between the two deliveries a peer may have had it, and a client may have seen it.
      if (origin.redelivered) same.redelivered = true
      if (same.kind === 'guest' || !origin.returns) return this.#follow(same, notification, origin, isForAll)
      // It is in the hold until a client acknowledges it.
      if (same.kind === 'held') return { outcome: 'held', connections: 0 }
      // The broker delivers again what it waits for: the outcome is that of what is under way.
      same.origin = origin
      return same.result
    }
    const delivery = this.#createDelivery(notification, origin, before)
    delivery.isForAll = isForAll
    this.#place(delivery)
    return delivery.result
  }

  #createDelivery (notification: Notification, origin: Origin, before: Delivery | undefined): Delivery {
    const time = this.#now()
    // The wall clock may go back; an order may not.
    this.#lastPosition = Math.max(this.#lastPosition + 1, Math.floor(time * 1_000))
    const fresh = { position: before?.position ?? this.#lastPosition, expiresAt: time + origin.timeToLive }
    const earlier = this.#hold && origin.timesBefore(fresh, this.#now, this.#parts.options.hold.maxAge)
    const { position, expiresAt } = earlier ?? fresh
    const delivery = new Delivery(notification, origin, position, expiresAt)
    if (before !== undefined || earlier !== undefined) delivery.redelivered = true
    return delivery
  }

  /** A peer asks for connections here. Its outcome is `offline` if nobody here takes it. */
  host (guest: Delivery): Result | Promise<Result> {
    const { observer } = this.#parts
    observer.hosted(guest.notification)
    return observer.run === undefined ? this.#host(guest) : observer.run(guest.notification, () => this.#host(guest))
  }

  #host (guest: Delivery): Result | Promise<Result> {
    const mailbox = this.#mailboxes.get(guest.userId)
    const same = mailbox?.find(guest.id)
    if (same !== undefined && guest.redelivered) same.redelivered = true // meanwhile another instance may have had it
    if (same === undefined) this.#place(guest)
    else if (same.kind === 'guest') return same.result // another instance has it too: the broker delivered it again
    else if (same.holders.length > 0 || same.isWaiting || same.isSentHere) (same.guests ??= []).push(guest)
    // What waits for peers itself must not be waited for: two instances would wait for each other.
    else guest.settle('offline')
    return guest.result
  }

  /** Every peer that has the user has a delivery, or none has the user. */
  peersAnswered (delivery: Delivery, isElsewhere: boolean): void {
    if (delivery.isSettled || delivery.isWaiting) return
    if (delivery.isSentHere) return this.#settle(delivery, 'sent')
    if (isElsewhere || delivery.holders.length > 0) return
    if (this.#isHere(delivery.userId)) this.#place(delivery)
    else this.#guard(delivery, () => this.#step(decide(this.#situation(delivery, 'nobody')), delivery))
  }

  /** A peer tells the outcome of a delivery, with the number of connections that it handed it to. */
  peerSettled (delivery: Delivery, outcome: 'sent' | 'acknowledged' | 'held', connections: number): void {
    if (delivery.isSettled) return
    delivery.connections += connections
    delivery.circumstance = 'relayed'
    if (outcome === 'held' && this.#hold !== undefined) this.#inFlight.moveToHold(delivery)
    else this.#inFlight.release(delivery, outcome === 'acknowledged')
    this.#settle(delivery, outcome)
    this.#roomChanged(delivery.userId)
  }

  /** A peer has put something of a user into the hold. */
  wake (userId: string): void {
    if (this.#isHere(userId)) this.#hold?.start(userId)
  }

  /** A connection has joined its user's others. */
  joined ({ userId }: Subscriber): void {
    this.#hold?.start(userId)
    this.#roomChanged(userId)
    // What peers were asked to take, and may not have, comes before anything newer.
    for (const delivery of this.#peers?.unanswered(userId) ?? []) {
      delivery.redelivered = true
      this.#place(delivery)
    }
  }

  /** A client acknowledges notifications. */
  acknowledged (subscriber: Subscriber, ids: readonly string[]): void {
    const { userId } = subscriber
    const unknown = this.#inFlight.acknowledged(subscriber, ids)
    if (this.#parts.options.settle === 'sent') return // nothing waits for an ack
    // A connection that was given up may have had them. What another one has by now is settled by that one.
    for (const id of unknown) this.#hold?.remove(userId, id, this.#mailboxes.get(userId)?.inFlight.has(id) !== true)
    this.#roomChanged(userId)
  }

  /** A connection has left: what it has not acknowledged goes to another one, or waits. */
  left (subscriber: Subscriber): void {
    const { userId } = subscriber
    let isInHold = this.#mailboxes.get(userId)?.drain !== undefined
    for (const delivery of this.#inFlight.ended(subscriber)) {
      delivery.redelivered = true
      if (delivery.kind === 'held') {
        isInHold = true
        settleWithGuests(delivery, 'held') // for whoever has joined it
        this.#hold!.returned(delivery)
      } else {
        settleGuests(delivery, 'offline') // their instances decide
        this.#place(delivery)
      }
    }
    if (this.#isDirect) return
    this.#roomChanged(userId)
    if (this.#isHere(userId)) return
    for (const delivery of this.#mailboxes.get(userId)?.takeWaiting() ?? []) {
      if (!delivery.isSettled) this.#place(delivery)
    }
    this.#prune(userId)
    if (isInHold) this.#peers?.wake(userId)
  }

  /** Looks for what was not acknowledged in time. To be called about once a second. */
  tick (): void {
    for (const subscriber of this.#inFlight.overdue()) this.#parts.overdue(subscriber)
  }

  /** From now on, what comes back goes back to its source. */
  drain (): void {
    this.#isClosing = true
  }

  /** Resolves when what was on its way into the hold is there. */
  async close (): Promise<void> {
    await this.#hold?.close()
  }

  /** Hands a notification to the sockets of its user, where nothing ever waits. */
  #send (notification: Notification, origin: Origin): Result | Promise<Result> {
    const { subscribers, observer } = this.#parts
    let connections = 0
    for (const subscriber of subscribers.of(notification.userId)) {
      if (subscriber.send(notification.payload, origin.redelivered)) connections++
    }
    if (connections === 0) return this.#giveUpDirectly(notification, origin)
    const result: Result = { outcome: 'sent', connections }
    observer.settled(notification, origin, 'own', result, undefined)
    return result
  }

  /**
   * The outcome is that of a delivery that is under way. If that one is a guest that nobody here takes, or its message
   * will be delivered again, this one is delivered by itself.
   */
  async #follow (same: Delivery, notification: Notification, origin: Origin, isForAll: boolean): Promise<Result> {
    const isGuest = same.kind === 'guest'
    const result = await Promise.resolve(same.result).catch((error: unknown) => {
      if (!isGuest && !same.isGone) throw error
    })
    if (result === undefined || (isGuest && result.outcome === 'offline')) return await this.deliver(notification, origin, isForAll, same)
    if (isGuest) this.#parts.observer.settled(notification, origin, 'own', result, undefined)
    return result
  }

  /** Takes the next step of a delivery. */
  #place (delivery: Delivery): void {
    this.#guard(delivery, () => this.#placeNow(delivery))
  }

  /** An unexpected error is that of one delivery: whoever waits for its outcome is told, and the others go on. */
  #guard (delivery: Delivery, step: () => void): void {
    try {
      step()
    } catch (error) {
      this.fail(delivery, error)
    }
  }

  #placeNow (delivery: Delivery): void {
    delivery.isWaiting = false
    const situation = this.#situation(delivery)
    if (asksPeers(situation)) this.#peers?.deliver(delivery)
    const step = decide(situation)
    if (step !== 'offer') this.#step(step, delivery)
    else if (!this.#inFlight.offer(delivery)) this.#step(decide({ ...situation, isFull: true }), delivery)
  }

  #situation (delivery: Delivery, peers = this.#peersOf(delivery)): Situation {
    const { origin } = delivery
    const mailbox = this.#mailboxes.get(delivery.userId)
    const isHere = this.#isHere(delivery.userId)
    return {
      kind: delivery.kind,
      isHere,
      isFull: false,
      isBehind: mailbox !== undefined && (mailbox.drain !== undefined || (isHere && mailbox.waiting !== undefined)),
      peers,
      returns: origin?.returns ?? false,
      isGone: delivery.isGone,
      isClosing: this.#isClosing,
      hasHold: this.#hold !== undefined
    }
  }

  #peersOf (delivery: Delivery): Situation['peers'] {
    if (this.#peers === undefined || delivery.isForAll) return 'none'
    return delivery.relay === undefined ? 'unasked' : 'asked'
  }

  #step (step: Step, delivery: Delivery): void {
    if (step === 'refuse') return this.#settle(delivery, 'offline')
    if (step === 'abandon') return this.abandon(delivery)
    if (step === 'leave') return this.#forget(delivery)
    const mailbox = this.#mailboxes.open(delivery.userId)
    mailbox.pending.set(delivery.id, delivery)
    delivery.isWaiting = step !== 'await-peers'
    if (step === 'wait') mailbox.wait(delivery)
    else if (step === 'hold') this.#hold!.keep(mailbox, delivery)
    else if (step === 'give-up') this.#giveUpDelivery(delivery)
  }

  /** Follows the option `offline` where nothing is held: drops a notification, or puts it into the dead-letter queue. */
  #giveUp (notification: Notification, origin: Origin): Result | Promise<Result> {
    const { options: { offline }, log } = this.#parts
    const { userId, payload: { id } } = notification
    log.debug({ notificationId: id, userId, policy: offline }, 'user offline')
    if (offline === 'dead-letter') return origin.deadLetter(notification).then(() => DEAD_LETTERED)
    return OFFLINE
  }

  #giveUpDirectly (notification: Notification, origin: Origin): Result | Promise<Result> {
    const { observer } = this.#parts
    const given = this.#giveUp(notification, origin)
    if (!(given instanceof Promise)) {
      observer.settled(notification, origin, 'own', given, undefined)
      return given
    }
    return given.then(result => {
      observer.settled(notification, origin, 'own', result, undefined)
      return result
    }, (error: unknown) => {
      observer.failed(notification, origin, error)
      throw error
    })
  }

  #giveUpDelivery (delivery: Delivery): void {
    const { origin } = delivery
    const given = this.#giveUp(delivery.notification, origin!)
    if (!(given instanceof Promise)) return this.#settle(delivery, given.outcome)
    given.then(({ outcome }) => this.#settle(delivery, outcome), (error: unknown) => {
      // Another message has joined the delivery meanwhile, and must not be lost with this one.
      if (delivery.origin !== origin) this.#giveUpDelivery(delivery)
      else this.fail(delivery, error)
    })
  }

  /** A client here has a delivery. */
  #delivered (delivery: Delivery, outcome: 'sent' | 'acknowledged'): void {
    const { userId, id, kind } = delivery
    if (kind === 'held') this.#hold!.remove(userId, id)
    // Peers may have connections of the user too: it is settled when the broker has it for them.
    if (outcome === 'sent' && this.#peers?.isAsking(delivery) === true) {
      delivery.isSentHere = true
      this.#mailboxes.open(userId).pending.set(id, delivery)
    } else {
      this.#settle(delivery, outcome)
    }
  }

  /** A delivery is in the hold, perhaps since a delivery before this one; or is not, as there was no room for it. */
  #kept (delivery: Delivery, outcome: 'held' | 'known' | 'offline'): void {
    const { userId, id } = delivery
    if (!delivery.isSettled) {
      if (outcome === 'known') delivery.circumstance = 'repeated'
      this.#settle(delivery, outcome === 'known' ? 'held' : outcome)
    } else if (delivery.outcome !== 'held') {
      // A peer has it meanwhile. If the peer has put it into the same hold, it is the only one there.
      this.#hold!.remove(userId, id)
    }
    // By now the user may have a connection elsewhere; those here may be full, or gone without a word.
    this.#peers?.wake(userId)
  }

  #settle (delivery: Delivery, outcome: Outcome): void {
    const { observer } = this.#parts
    settleWithGuests(delivery, outcome)
    this.#forget(delivery)
    observer.settled(delivery.notification, delivery.origin, delivery.kind, { outcome, connections: delivery.connections }, delivery.circumstance)
    this.#peers?.settled(delivery, outcome)
  }

  /** A call's delivery has failed: its caller is told, and nobody takes it over. */
  fail (delivery: Delivery, error: unknown): void {
    settleGuests(delivery, 'offline')
    delivery.fail(error)
    this.#forget(delivery)
    this.#parts.observer.failed(delivery.notification, delivery.origin, error)
    this.#peers?.failed(delivery)
  }

  /** The source hands a delivery over again: whoever has joined it asks again. */
  abandon (delivery: Delivery): void {
    settleGuests(delivery, 'offline')
    const { notification, origin } = delivery
    delivery.fail(origin!.gone?.reason ?? new DOMException('moved to the dead-letter queue', 'AbortError'))
    this.#forget(delivery)
    this.#peers?.failed(delivery)
    // Of what is moved, the observers are told by whoever moves it.
    if (!origin!.isMoved) this.#parts.observer.abandoned(notification, origin)
  }

  #forget (delivery: Delivery): void {
    this.#mailboxes.get(delivery.userId)?.remove(delivery)
    this.#prune(delivery.userId)
  }

  #prune (userId: string): void {
    const mailbox = this.#mailboxes.get(userId)
    if (mailbox !== undefined) this.#mailboxes.prune(mailbox)
  }

  /** There may be room at a user's connections. */
  #roomChanged (userId: string): void {
    const mailbox = this.#mailboxes.get(userId)
    if (mailbox === undefined) return
    mailbox.drain?.touch()
    for (let oldest = mailbox.firstWaiting; oldest !== undefined; oldest = mailbox.firstWaiting) {
      if (oldest.origin?.isMoved === true) this.abandon(oldest)
      else if (!oldest.isSettled && !this.#offer(oldest)) return
      mailbox.stopWaiting(oldest)
    }
  }

  /** Whether a delivery that waits need not wait any longer. */
  #offer (delivery: Delivery): boolean {
    try {
      return this.#inFlight.offer(delivery)
    } catch (error) {
      this.fail(delivery, error)
      return true
    }
  }

  #isHere (userId: string): boolean {
    return this.#parts.subscribers.of(userId).length > 0
  }
}

function settleWithGuests (delivery: Delivery, outcome: Outcome): void {
  delivery.settle(outcome)
  settleGuests(delivery, outcome)
}

/** Tells peers that wait for a delivery here. */
function settleGuests (delivery: Delivery, outcome: Outcome): void {
  const { guests, connections } = delivery
  if (guests === undefined) return
  delivery.guests = undefined
  for (const guest of guests) {
    guest.connections = connections
    guest.settle(outcome)
  }
}
