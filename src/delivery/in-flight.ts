import type { AckWindow } from './ack-window.js'
import { Delivery } from './delivery.js'
import type { Dismissals, Subscriber } from './doors.js'
import type { Mailbox, Mailboxes } from './mailbox.js'
import type { Registry } from './registry.js'

const NONE: readonly never[] = []

export interface InFlightParts {
  /** Whether clients acknowledge. */
  awaitsAcks: boolean
  /** Maximum unacknowledged notifications per connection. */
  maxUnacked: number
  /** How long a client may take to acknowledge a notification, in milliseconds. */
  ackTimeout: number
  /** With `dismiss: true`: a user's other connections are told when one of them acknowledges, also when they come back. */
  dismissals: Dismissals | undefined
  subscribers: Registry
  mailboxes: Mailboxes
  /** Where clients acknowledge. */
  window: AckWindow | undefined
  /** A delivery has reached a client: it was handed to a socket, or the client has acknowledged it. */
  delivered (delivery: Delivery, outcome: 'sent' | 'acknowledged'): void
}

/** Hands deliveries to connections, and keeps them until one of the user's clients acknowledges them. */
export class InFlight {
  readonly #parts: InFlightParts
  /** What was handed to another connection after the one before had ended. Its last deadline comes before its deadline. */
  readonly #handedOutAgain = new Set<Delivery>()

  constructor (parts: InFlightParts) {
    this.#parts = parts
  }

  /**
   * Hands a delivery to every connection of its user that has room for it.
   * @returns whether at least one connection took it
   */
  offer (delivery: Delivery): boolean {
    const { awaitsAcks, ackTimeout, subscribers, mailboxes, window, delivered } = this.#parts
    const { userId, notification: { payload }, redelivered, members = subscribers } = delivery
    let holders: Subscriber[] | undefined
    let taken = 0
    for (const subscriber of members.of(userId)) {
      if (this.#isFull(subscriber) || !subscriber.send(payload, redelivered)) continue
      taken++
      if (!awaitsAcks || !subscriber.acknowledges) continue
      if (holders === undefined) holders = [subscriber]
      else holders.push(subscriber)
    }
    if (taken === 0) return false
    delivery.connections += taken
    delivery.waitsFor = undefined
    if (holders === undefined || holders.length < taken) {
      // A plain client can't ack, so a successful send settles the delivery.
      delivered(delivery, 'sent')
      return true
    }
    delivery.holders = holders.length === 1 ? holders : holders.slice() // an array that has grown keeps room for 16 more
    delivery.deadline = performance.now() + ackTimeout
    if (delivery.lastDeadline === Infinity) delivery.lastDeadline = delivery.deadline
    else this.#handedOutAgain.add(delivery)
    window?.add(delivery)
    for (const holder of holders) holder.unackedCount++
    const mailbox = mailboxes.open(userId)
    if (mailbox.pending.get(delivery.id) === delivery) mailbox.pending.delete(delivery.id)
    mailbox.inFlight.delete(delivery.id) // so that it becomes the newest entry
    mailbox.inFlight.set(delivery.id, delivery)
    return true
  }

  /** A delivery was settled elsewhere: the connections here need not acknowledge it. */
  release (delivery: Delivery, isAcknowledged: boolean): void {
    delivery.letGo()
    if (isAcknowledged) this.#dismiss(delivery.userId, [delivery.id])
  }

  /** Nobody is waited for any more to acknowledge a delivery: it is to be placed otherwise. */
  takeBack (delivery: Delivery): void {
    const inFlight = this.#parts.mailboxes.get(delivery.userId)?.inFlight
    delivery.letGo()
    if (inFlight?.get(delivery.id) === delivery) inFlight.delete(delivery.id)
  }

  /** The hold has a delivery now. Its holders must still acknowledge it; otherwise the hold delivers it again. */
  moveToHold (delivery: Delivery): void {
    const { notification, userId, id, position, expiresAt, connections, holders, deadline } = delivery
    const inFlight = this.#parts.mailboxes.get(userId)?.inFlight
    if (inFlight?.get(id) !== delivery) return
    const held = new Delivery(notification, undefined, position, expiresAt, 'held')
    Object.assign(held, { connections, holders, deadline, redelivered: true })
    delivery.holders = []
    inFlight.set(id, held)
  }

  /** Whether a user has a connection that can take more right now. */
  hasRoom (userId: string): boolean {
    return this.#parts.subscribers.of(userId).some(subscriber => this.#isTaking(subscriber) && !subscriber.isCongested)
  }

  /** One promise per usable connection that is not full. It resolves when it is not congested any more, or on abort. */
  relieved (userId: string, over: AbortSignal): Array<Promise<void>> {
    return this.#parts.subscribers.of(userId)
      .filter(subscriber => this.#isTaking(subscriber))
      .map(async subscriber => await subscriber.relieved(over))
  }

  /**
   * A client acknowledges notifications.
   * @returns the ids that were not in flight on this connection, without those that it was never sent
   */
  acknowledged (subscriber: Subscriber, ids: readonly string[]): readonly string[] {
    const { mailboxes, dismissals, delivered } = this.#parts
    const { userId } = subscriber
    let unknown: string[] | undefined
    let dismissed: string[] | undefined
    for (const id of ids) {
      const isFirst = subscriber.spendClaim(id)
      const delivery = mailboxes.get(userId)?.inFlight.get(id)
      if (delivery?.holders.includes(subscriber) === true) {
        delivery.letGo()
        delivered(delivery, 'acknowledged')
      } else {
        if (!isFirst) continue
        (unknown ??= []).push(id)
      }
      if (dismissals !== undefined) (dismissed ??= []).push(id)
    }
    if (dismissed !== undefined) this.#dismiss(userId, dismissed, subscriber)
    return unknown ?? NONE
  }

  /**
   * A client could not handle notifications. Ids that are not in flight on this connection are ignored.
   * @returns the deliveries that no other connection has
   */
  rejected (subscriber: Subscriber, ids: readonly string[]): Delivery[] {
    const mailbox = this.#parts.mailboxes.get(subscriber.userId)
    const rejected: Delivery[] = []
    for (const id of ids) {
      const delivery = mailbox?.inFlight.get(id)
      if (delivery === undefined || !delivery.holders.includes(subscriber)) continue
      subscriber.unackedCount--
      delivery.holders = delivery.holders.filter(holder => holder !== subscriber)
      if (delivery.holders.length > 0) continue
      mailbox!.inFlight.delete(id)
      delivery.lastDeadline = Infinity // a client has answered: the next try has the whole time again
      rejected.push(delivery)
    }
    return rejected
  }

  /**
   * A connection has ended.
   * @returns the deliveries that no other connection has, the oldest first
   */
  ended (subscriber: Subscriber): Delivery[] {
    const mailbox = this.#parts.mailboxes.get(subscriber.userId)
    if (mailbox === undefined || subscriber.unackedCount === 0) return []
    subscriber.unackedCount = 0
    const left: Delivery[] = []
    for (const delivery of mailbox.inFlight.values()) {
      if (!delivery.holders.includes(subscriber)) continue
      delivery.holders = delivery.holders.filter(holder => holder !== subscriber)
      if (delivery.holders.length > 0) continue
      mailbox.inFlight.delete(delivery.id)
      left.push(delivery)
    }
    return left
  }

  /** The connections that have not acknowledged a delivery in time. */
  overdue (): Set<Subscriber> {
    const { awaitsAcks, mailboxes } = this.#parts
    const now = performance.now()
    const late = new Set<Subscriber>()
    if (awaitsAcks) for (const mailbox of mailboxes) addOverdue(mailbox, now, late)
    return late
  }

  /** What several connections had, one after the other, without acknowledging it in time. */
  expired (): Delivery[] {
    const now = performance.now()
    const expired: Delivery[] = []
    for (const delivery of this.#handedOutAgain) {
      if (delivery.holders.length > 0 && delivery.lastDeadline > now) continue
      this.#handedOutAgain.delete(delivery)
      if (delivery.holders.length > 0) expired.push(delivery)
    }
    return expired
  }

  /** A user has acknowledged notifications, on one connection perhaps, which knows it. */
  #dismiss (userId: string, ids: readonly string[], by?: Subscriber): void {
    const { dismissals, subscribers } = this.#parts
    if (dismissals === undefined || ids.length === 0) return
    for (const id of ids) dismissals.add(userId, id)
    for (const other of subscribers.of(userId)) if (other !== by) other.dismiss(ids)
  }

  #isFull (subscriber: Subscriber): boolean {
    const { awaitsAcks, maxUnacked } = this.#parts
    return awaitsAcks && subscriber.acknowledges && subscriber.unackedCount >= maxUnacked
  }

  /** Whether a connection can take more, unless it is congested. */
  #isTaking (subscriber: Subscriber): boolean {
    return subscriber.isUsable && !this.#isFull(subscriber)
  }
}

/** `inFlight` is in the order of handing out, so the first entry has the earliest deadline. */
function addOverdue ({ inFlight }: Mailbox, now: number, late: Set<Subscriber>): void {
  for (const { deadline, holders } of inFlight.values()) {
    if (deadline > now) return
    for (const holder of holders) late.add(holder)
  }
}
