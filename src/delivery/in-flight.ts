import { Delivery } from './delivery.js'
import type { Subscriber } from './doors.js'
import type { Mailbox, Mailboxes } from './mailbox.js'
import type { Registry } from './registry.js'

export interface InFlightParts {
  /** Whether clients acknowledge. */
  awaitsAcks: boolean
  /** Maximum unacknowledged notifications per connection. */
  maxUnacked: number
  /** How long a client may take to acknowledge a notification, in milliseconds. */
  ackTimeout: number
  /** Whether a user's other connections are told when one of them acknowledges a notification. */
  dismiss: boolean
  subscribers: Registry
  mailboxes: Mailboxes
  /** A delivery has reached a client: it was handed to a socket, or the client has acknowledged it. */
  delivered (delivery: Delivery, outcome: 'sent' | 'acknowledged'): void
}

/** Hands deliveries to connections, and keeps them until one of the user's clients acknowledges them. */
export class InFlight {
  readonly #parts: InFlightParts

  constructor (parts: InFlightParts) {
    this.#parts = parts
  }

  /**
   * Hands a delivery to every connection of its user that has room for it.
   * @returns whether at least one connection took it
   */
  offer (delivery: Delivery): boolean {
    const { awaitsAcks, ackTimeout, subscribers, mailboxes, delivered } = this.#parts
    const { userId, notification: { payload }, redelivered } = delivery
    const holders: Subscriber[] = []
    let taken = 0
    for (const subscriber of subscribers.of(userId)) {
      if (this.#isFull(subscriber) || !subscriber.send(payload, redelivered)) continue
      taken++
      if (awaitsAcks && subscriber.acknowledges) holders.push(subscriber)
    }
    if (taken === 0) return false
    delivery.connections += taken
    delivery.isWaiting = false
    if (holders.length < taken) {
      // A plain client can't ack, so a successful send settles the delivery.
      delivered(delivery, 'sent')
      return true
    }
    delivery.holders = holders
    delivery.deadline = performance.now() + ackTimeout
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
    if (!this.#parts.dismiss || !isAcknowledged) return
    for (const subscriber of this.#parts.subscribers.of(delivery.userId)) subscriber.dismiss(delivery.id)
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
   * @returns the ids that were not in flight on this connection, as many as {@link Subscriber.spendClaim} allows
   */
  acknowledged (subscriber: Subscriber, ids: readonly string[]): string[] {
    const { dismiss, subscribers, mailboxes, delivered } = this.#parts
    const { userId } = subscriber
    const unknown: string[] = []
    for (const id of ids) {
      const delivery = mailboxes.get(userId)?.inFlight.get(id)
      if (delivery?.holders.includes(subscriber) === true) {
        delivery.letGo()
        delivered(delivery, 'acknowledged')
      } else {
        if (!subscriber.spendClaim()) continue
        unknown.push(id)
      }
      if (!dismiss) continue
      for (const other of subscribers.of(userId)) if (other !== subscriber) other.dismiss(id)
    }
    return unknown
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
    const now = performance.now()
    const late = new Set<Subscriber>()
    for (const mailbox of this.#parts.mailboxes) addOverdue(mailbox, now, late)
    return late
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
