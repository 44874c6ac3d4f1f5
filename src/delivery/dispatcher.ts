import type { FastifyBaseLogger } from 'fastify'
import { steadyNow } from '../clock.js'
import { Delivery } from './delivery.js'
import { DirectDelivery } from './direct-delivery.js'
import type { HoldStore, Observer, Origin, Result, Subscriber } from './doors.js'
import { Hold } from './hold.js'
import { InFlight } from './in-flight.js'
import { Mailboxes } from './mailbox.js'
import type { Notification } from './notification.js'
import { createOfflinePolicy } from './offline-policy.js'
import { Outcomes } from './outcomes.js'
import { PeerRequests } from './peer-requests.js'
import type { PeerListener, Peers } from './peers.js'
import { Placement } from './placement.js'
import type { Registry } from './registry.js'

export interface DispatcherParts {
  options: DispatcherOptions
  subscribers: Registry
  /** With `offline: 'hold'`. */
  store: HoldStore | undefined
  observer: Observer
  log: FastifyBaseLogger
  /** A connection has not acknowledged something in time: closes it. */
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

/** Takes every notification, and everything that happens to connections: each leads to the next step of a delivery. */
export class Dispatcher {
  /** Takes what peers ask and answer. */
  readonly peerListener: PeerListener
  readonly #parts: DispatcherParts
  readonly #mailboxes = new Mailboxes()
  readonly #outcomes: Outcomes
  readonly #inFlight: InFlight
  readonly #hold: Hold | undefined
  readonly #placement: Placement
  readonly #direct: DirectDelivery | undefined
  /** Peers, and whoever shares the Redis, compare these times with their own, so they need the wall clock. */
  readonly #now: () => number
  #lastPosition = 0

  constructor (parts: DispatcherParts) {
    const { options, subscribers, store, observer, log } = parts
    const mailboxes = this.#mailboxes
    const outcomes = this.#outcomes = new Outcomes(mailboxes, observer)
    const giveUp = createOfflinePolicy(options.offline, log)
    const inFlight = this.#inFlight = new InFlight({
      ...options,
      awaitsAcks: options.settle === 'acknowledged',
      subscribers,
      mailboxes,
      delivered: (delivery, outcome) => this.#delivered(delivery, outcome)
    })
    const hold = this.#hold = store && new Hold({
      store,
      subscribers,
      mailboxes,
      inFlight,
      log,
      kept: (delivery, outcome) => this.#kept(delivery, outcome),
      failed: (delivery, error) => outcomes.fail(delivery, error),
      abandoned: delivery => outcomes.abandon(delivery),
      settledLate: (userId, id) => observer.settledLate(userId, id)
    })
    const placement = this.#placement = new Placement({ subscribers, mailboxes, inFlight, hold, outcomes, giveUp })
    this.peerListener = new PeerRequests({ mailboxes, inFlight, hold, outcomes, placement, observer })
    this.#parts = parts
    this.#now = options.cluster || options.hold.redis !== undefined ? Date.now : steadyNow
    if (options.settle === 'sent' && store === undefined && !options.cluster) this.#direct = new DirectDelivery(subscribers, observer, giveUp)
  }

  /** Says who the peers are, with `cluster: true`. To be called before anything is delivered. */
  connect (peers: Peers): void {
    this.#outcomes.peers = peers
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
    if (this.#direct !== undefined) return this.#direct.deliver(notification, origin)
    const same = this.#mailboxes.get(notification.userId)?.find(notification.payload.id)
    if (same !== undefined) return this.#join(same, notification, origin, isForAll)
    const delivery = this.#createDelivery(notification, origin, before)
    this.#placement.place(delivery, isForAll)
    return delivery.result
  }

  /** Joins a delivery of the same id that is under way. */
  #join (same: Delivery, notification: Notification, origin: Origin, isForAll: boolean): Result | Promise<Result> {
    // Between the two deliveries a peer may have had it, and a client may have seen it.
    if (origin.redelivered) same.redelivered = true
    if (same.kind === 'guest' || !origin.returns) return this.#follow(same, notification, origin, isForAll)
    if (same.kind === 'held') {
      // It is in the hold until a client acknowledges it.
      const result: Result = { outcome: 'held', connections: 0 }
      this.#parts.observer.settled(notification, origin, 'own', result, 'repeated')
      return result
    }
    // The broker delivers again what it waits for: the outcome is that of what is under way.
    const before = same.origin
    same.origin = origin
    if (before?.returns === true && before.gone?.aborted !== true) this.#tellJoined(same, notification, before)
    return same.result
  }

  /** Two messages of one id are under way. The delivery reports the outcome of the second one; this reports that of the first one. */
  #tellJoined (same: Delivery, notification: Notification, origin: Origin): void {
    const { observer } = this.#parts
    Promise.resolve(same.result).then(result => observer.settled(notification, origin, 'own', result, 'joined'), () => {}) // its source is told
  }

  /**
   * The outcome is that of a delivery that is under way. If that one is a guest that nobody here takes, or its message
   * will be delivered again, this one is delivered by itself.
   */
  async #follow (same: Delivery, notification: Notification, origin: Origin, isForAll: boolean): Promise<Result> {
    const { observer } = this.#parts
    const isGuest = same.kind === 'guest'
    const result = await Promise.resolve(same.result).catch((error: unknown) => {
      if (isGuest || same.isGone) return undefined
      observer.failed(notification, origin, error)
      throw error
    })
    if (result === undefined || (isGuest && result.outcome === 'offline')) return await this.deliver(notification, origin, isForAll, same)
    observer.settled(notification, origin, 'own', result, isGuest ? undefined : 'joined')
    return result
  }

  #createDelivery (notification: Notification, origin: Origin, before: Delivery | undefined): Delivery {
    const time = this.#now()
    // In microseconds since 1970. The wall clock may go back; an order may not.
    this.#lastPosition = Math.max(this.#lastPosition + 1, Math.floor(time * 1_000))
    const fresh = { position: before?.position ?? this.#lastPosition, expiresAt: time + origin.timeToLive }
    const earlier = this.#hold && origin.timesBefore(fresh, this.#now, this.#parts.options.hold.maxAge)
    const { position, expiresAt } = earlier ?? fresh
    const delivery = new Delivery(notification, origin, position, expiresAt)
    if (before !== undefined || earlier !== undefined) delivery.redelivered = true
    return delivery
  }

  /** A connection has joined its user's others. */
  joined ({ userId }: Subscriber): void {
    this.#hold?.start(userId)
    this.#placement.offerWaiting(userId)
    // What peers were asked to take, and may not have, comes before anything newer.
    for (const delivery of this.#outcomes.peers?.unanswered(userId) ?? []) {
      delivery.redelivered = true
      this.#placement.place(delivery)
    }
  }

  /** A client acknowledges notifications. */
  acknowledged (subscriber: Subscriber, ids: readonly string[]): void {
    const { userId } = subscriber
    const unknown = this.#inFlight.acknowledged(subscriber, ids)
    if (this.#parts.options.settle === 'sent') return // nothing waits for an ack
    // A connection that was given up may have had them. If another connection has it in flight, that connection settles it.
    for (const id of unknown) this.#hold?.remove(userId, id, this.#mailboxes.get(userId)?.inFlight.has(id) !== true)
    this.#placement.offerWaiting(userId)
  }

  /** A connection has left: what it has not acknowledged goes to another one, or waits. */
  left (subscriber: Subscriber): void {
    const { userId } = subscriber
    let isInHold = this.#mailboxes.get(userId)?.drain !== undefined
    for (const delivery of this.#inFlight.ended(subscriber)) {
      delivery.redelivered = true
      this.#outcomes.settleGuests(delivery, delivery.kind === 'held' ? 'held' : 'offline') // for the latter, their instances decide
      if (delivery.kind === 'held') {
        isInHold = true
        delivery.settle('held') // for whoever has joined it
        this.#hold!.returned(delivery)
      } else {
        this.#placement.place(delivery)
      }
    }
    if (this.#direct !== undefined) return
    this.#placement.offerWaiting(userId)
    if (this.#placement.isHere(userId)) return
    const mailbox = this.#mailboxes.get(userId)
    for (const delivery of mailbox?.takeWaiting() ?? []) if (!delivery.isSettled) this.#placement.place(delivery)
    if (mailbox !== undefined) this.#mailboxes.prune(mailbox)
    if (isInHold) this.#outcomes.peers?.wake(userId)
  }

  /** Looks for what was not acknowledged in time. To be called about once a second. */
  tick (): void {
    for (const subscriber of this.#inFlight.overdue()) this.#parts.overdue(subscriber)
  }

  /** The application is closing: what can't be delivered now returns to its source. */
  drain (): void {
    this.#placement.isClosing = true
  }

  /** Resolves when what was on its way into the hold is there. */
  async close (): Promise<void> {
    await this.#hold?.close()
  }

  /** A client here has a delivery. */
  #delivered (delivery: Delivery, outcome: 'sent' | 'acknowledged'): void {
    const { userId, id, kind } = delivery
    if (kind === 'held') this.#hold!.remove(userId, id)
    // Peers may have connections of the user too: it is settled when the broker has it for them.
    if (outcome === 'sent' && this.#outcomes.peers?.isAsking(delivery) === true) {
      delivery.isSentHere = true
      this.#mailboxes.open(userId).pending.set(id, delivery)
    } else {
      this.#outcomes.settle(delivery, outcome)
    }
  }

  /** A delivery is in the hold, perhaps since a delivery before this one; or is not, as there was no room for it. */
  #kept (delivery: Delivery, outcome: 'held' | 'known' | 'offline'): void {
    const { userId, id } = delivery
    if (!delivery.isSettled) {
      if (outcome === 'known') delivery.circumstance = 'repeated'
      this.#outcomes.settle(delivery, outcome === 'known' ? 'held' : outcome)
    } else if (delivery.outcome !== 'held') {
      // A peer has it meanwhile. If the peer has put it into the same hold, it is the only one there.
      this.#hold!.remove(userId, id)
    }
    // By now the user may have a connection elsewhere; those here may be full, or gone without a word.
    this.#outcomes.peers?.wake(userId)
  }
}
