import type { FastifyBaseLogger } from 'fastify'
import { AckWindow, MulticastPlace, type WindowSize } from './ack-window.js'
import { Delivery } from './delivery.js'
import { DirectDelivery } from './direct-delivery.js'
import type { Dismissals, HoldStore, Members, Observer, Origin, Result, Subscriber } from './doors.js'
import { Hold } from './hold.js'
import { InFlight } from './in-flight.js'
import { endKept } from './hold-end.js'
import { Intake } from './intake.js'
import { Mailboxes } from './mailbox.js'
import type { Notification } from './notification.js'
import { createOfflinePolicy } from './offline-policy.js'
import { Outcomes } from './outcomes.js'
import { PeerRequests } from './peer-requests.js'
import type { PeerListener, Peers } from './peers.js'
import { Placement } from './placement.js'
import type { Registry } from './registry.js'
import { Rejections } from './rejections.js'
import { waitingIn, type Waiting } from './waiting.js'

export interface DispatcherParts {
  options: DispatcherOptions
  subscribers: Registry
  windowSize: WindowSize | undefined // how much of a queue may be unsettled; undefined without a broker
  store: HoldStore | undefined // with `offline: 'hold'`
  dismissals: Dismissals | undefined // with `dismiss: true`
  observer: Observer
  ownOrigin: Pick<Origin, 'deadLetter'> // of what has no message
  log: FastifyBaseLogger
  overdue (subscriber: Subscriber): void // closes a connection that has not acknowledged something in time
}

export interface DispatcherOptions {
  readonly settle: 'sent' | 'acknowledged'
  readonly offline: 'drop' | 'dead-letter' | 'hold'
  readonly maxUnacked: number
  readonly ackTimeout: number
  readonly maxDeliveries: number
  readonly hold: { readonly maxAge: number }
}

/**
 * The way into the delivery, for notifications and for everything that happens to connections. Each leads to the next
 * step of a delivery.
 */
export class Dispatcher {
  /** Takes what peers ask and answer. */
  readonly peerListener: PeerListener
  readonly rejections: Rejections // of what clients could not handle
  readonly window: AckWindow | undefined // where clients acknowledge
  readonly #parts: DispatcherParts
  readonly #mailboxes = new Mailboxes()
  readonly #outcomes: Outcomes
  readonly #inFlight: InFlight
  readonly #hold: Hold | undefined
  readonly #placement: Placement
  readonly #intake: Intake
  /** Where nothing waits, unless for peers. */
  readonly #direct: DirectDelivery | undefined
  /** Where nothing waits that is live: it is not held, and peers need not be asked. */
  readonly #directLive: DirectDelivery | undefined

  constructor (parts: DispatcherParts) {
    const { options, subscribers, store, observer, log } = parts
    const mailboxes = this.#mailboxes
    const awaitsAcks = options.settle === 'acknowledged'
    const window = this.window = awaitsAcks && parts.windowSize !== undefined ? new AckWindow(parts.windowSize) : undefined
    const outcomes = this.#outcomes = new Outcomes(mailboxes, window, observer)
    const offlinePolicy = createOfflinePolicy(options.offline, log)
    const inFlight = this.#inFlight = new InFlight({
      ...parts,
      ...options,
      awaitsAcks,
      mailboxes,
      window,
      delivered: (delivery, outcome) => this.#delivered(delivery, outcome)
    })
    const hold = this.#hold = store && new Hold({
      store,
      subscribers,
      mailboxes,
      inFlight,
      log,
      kept: (delivery, answer) => endKept(delivery, answer, { inFlight, outcomes, remove: (userId, id) => hold!.remove(userId, id) }),
      failed: (delivery, error) => outcomes.fail(delivery, error),
      abandoned: delivery => outcomes.abandon(delivery),
      settledLate: (userId, id) => observer.settledLate(userId, id)
    })
    const placement = this.#placement = new Placement({ subscribers, mailboxes, inFlight, hold, outcomes, window, offlinePolicy })
    this.peerListener = new PeerRequests({ mailboxes, inFlight, hold, outcomes, placement, observer })
    this.rejections = new Rejections({ ...parts, maxDeliveries: options.maxDeliveries, mailboxes, inFlight, window, hold, outcomes, placement })
    this.#parts = parts
    this.#intake = new Intake({ mailboxes, placement, observer, maxAge: store && options.hold.maxAge })
    if (store?.isShared === true) this.#intake.now = Date.now
    if (options.settle === 'sent') this.#directLive = new DirectDelivery(subscribers, observer, offlinePolicy)
    if (store === undefined) this.#direct = this.#directLive
  }

  /** Says who the peers are, with `cluster: true`. To be called before anything is delivered. */
  connect (peers: Peers): void {
    this.#outcomes.peers = peers
    this.#intake.now = Date.now
  }

  /**
   * Delivers a notification to every connection of its user.
   * @param origin where it comes from
   * @returns its result: at once if it is known at once
   * @throws FST_NOTIFICATION_PUBLISH_FAILED, FST_NOTIFICATION_PUBLISH_TIMEOUT, FST_NOTIFICATION_HOLD_FAILED for a call
   */
  deliver (notification: Notification, origin: Origin): Result | Promise<Result> {
    const { peers } = this.#outcomes
    if (this.#direct !== undefined && peers === undefined) return this.#direct.deliver(notification, origin)
    return this.#sendHere(notification, origin) ?? this.#intake.take(notification, origin)
  }

  /** The short way of what is settled when it is sent here, as no peer is known to have the user; undefined if it isn't. */
  #sendHere (notification: Notification, origin: Origin): Result | undefined {
    const { userId } = notification
    const { peers } = this.#outcomes
    if (this.#direct === undefined || this.#mailboxes.get(userId) !== undefined || peers?.have(userId) === true) return undefined
    const sent = this.#direct.send(notification, origin)
    if (sent !== undefined && peers?.areNone() === false) peers.sentHere(this.#intake.createDelivery(notification, origin))
    return sent
  }

  /**
   * Delivers a notification to those connections of its user that are here and that it is for. Peers are not asked. Whoever
   * leaves does not get it: its outcome is `offline` then, and the option `offline` does not count.
   * @param origin undefined if a peer asks for it
   */
  deliverLive (notification: Notification, members: Members, origin: Origin | undefined, redelivered: boolean): Result | Promise<Result> {
    if (this.#directLive !== undefined) return this.#directLive.deliverLive(notification, members, origin, redelivered)
    return this.#intake.takeLive(notification, members, origin, redelivered)
  }

  /** Connections of a user have left a group: what waits for room there is not for them any more. */
  leftGroup (userId: string): void {
    this.#placement.offerWaiting(userId)
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
    for (const id of unknown) {
      if (!this.rejections.withdraw(userId, id)) this.#hold?.remove(userId, id, this.#mailboxes.get(userId)?.inFlight.has(id) !== true)
    }
    this.#placement.offerWaiting(userId)
  }

  /** A connection has left: what it has not acknowledged goes to another one, or waits. */
  left (subscriber: Subscriber): void {
    const { userId } = subscriber
    let isInHold = this.#mailboxes.get(userId)?.holdTransit !== undefined
    for (const delivery of this.#inFlight.ended(subscriber)) {
      delivery.redelivered = true
      delivery.checkDeadline()
      this.#outcomes.settleGuests(delivery, delivery.kind === 'held' ? 'held' : 'offline') // for the latter, their instances decide
      if (delivery.kind === 'held') {
        isInHold = true
        delivery.settle('held') // for whoever has joined it
        this.#hold!.returned(delivery)
      } else if (delivery.isOverdue) {
        this.#placement.stopWaiting(delivery)
      } else {
        this.#placement.place(delivery)
      }
    }
    if (this.#direct !== undefined && this.#outcomes.peers === undefined) return
    this.#placement.offerWaiting(userId)
    if (this.#placement.isHere(userId)) return
    const mailbox = this.#mailboxes.get(userId)
    for (const delivery of mailbox?.takeWaitingForRoom() ?? []) if (!delivery.isSettled) this.#placement.place(delivery)
    if (mailbox !== undefined) this.#mailboxes.prune(mailbox)
    if (isInHold) this.#outcomes.peers?.wake(userId)
  }

  /** Looks for what was not acknowledged in time, and for what has to give way. To be called about once a second. */
  tick (): void {
    for (const subscriber of this.#inFlight.overdue()) this.#parts.overdue(subscriber)
    this.#placement.stopWaitingAll(this.#inFlight.expired().filter(({ kind }) => kind !== 'held'))
    const overstaying = this.window?.overstaying(performance.now()) ?? []
    for (const entry of overstaying) if (entry instanceof MulticastPlace) entry.stop()
    this.#placement.stopWaitingAll(overstaying.filter(entry => entry instanceof Delivery))
  }

  /**
   * What has no outcome yet.
   * @param userId of one user. @default all users
   */
  * waiting (userId?: string): Generator<Waiting, void, undefined> {
    const mailboxes = userId === undefined ? this.#mailboxes : [this.#mailboxes.get(userId)]
    for (const mailbox of mailboxes) if (mailbox !== undefined) yield * waitingIn(mailbox, this.#parts.options.ackTimeout)
    for (const waiting of this.#direct?.waiting ?? []) if (userId === undefined || waiting.userId === userId) yield waiting
  }

  /** The application is closing: what can't be delivered now returns to its source. */
  beginToClose (): void {
    this.#placement.isClosing = true
    this.rejections.drain()
  }

  /** Resolves when what was on its way into the hold is there. */
  async close (): Promise<void> {
    await this.#hold?.close()
  }

  /** A client here has a delivery. */
  #delivered (delivery: Delivery, outcome: 'sent' | 'acknowledged'): void {
    const { userId, id, kind } = delivery
    if (kind === 'held' || delivery.isMaybeHeld) this.#hold!.remove(userId, id)
    // Peers may have connections of the user too: it is settled when the broker has it for them.
    if (outcome === 'sent' && this.#outcomes.peers?.isAsking(delivery) === true) {
      delivery.isSentHere = true
      this.#mailboxes.open(userId).pending.set(id, delivery)
    } else {
      this.#outcomes.settle(delivery, outcome)
    }
  }
}
