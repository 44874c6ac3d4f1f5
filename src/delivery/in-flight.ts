import { Delivery } from './delivery.js'
import type { Subscriber } from './doors.js'
import type { Mailbox, Mailboxes } from './mailbox.js'
import type { Registry } from './registry.js'

export interface InFlightParts {
  /** Whether clients acknowledge. */
  awaitsAcks: boolean
  /** How many notifications a connection may have unacknowledged. */
  maxUnacked: number
  /** How long a client may take to acknowledge one, in milliseconds. */
  ackTimeout: number
  /** Whether the other connections of a user are told what one of them has acknowledged. */
  dismiss: boolean
  subscribers: Registry
  mailboxes: Mailboxes
  /** A client has a delivery: it was handed to a socket, or the client has acknowledged it. */
  delivered (delivery: Delivery, outcome: 'sent' | 'acknowledged'): void
}

/** Hands deliveries to connections, and remembers them until one of the user's clients acknowledges them. */
export class InFlight {
  readonly #parts: InFlightParts

  constructor (parts: InFlightParts) {
    this.#parts = parts
  }

  /**
   * Hands a delivery to every connection of its user that has room for it.
   * @returns whether there was one
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
    mailbox.inFlight.delete(delivery.id) // to be the newest of them again
    mailbox.inFlight.set(delivery.id, delivery)
    return true
  }

  /** Somebody else has a delivery: the connections here need not acknowledge it. */
  release (delivery: Delivery, isAcknowledged: boolean): void {
    delivery.letGo()
    if (!this.#parts.dismiss || !isAcknowledged) return
    for (const subscriber of this.#parts.subscribers.of(delivery.userId)) subscriber.dismiss(delivery.id)
  }

  /** A delivery is in the hold now: its holders still have to acknowledge it, or the hold delivers it again. */
  moveToHold (delivery: Delivery): void {
    const { notification, userId, id, position, expiresAt, connections, holders, deadline } = delivery
    const inFlight = this.#parts.mailboxes.get(userId)?.inFlight
    if (inFlight?.get(id) !== delivery) return
    const held = new Delivery(notification, undefined, position, expiresAt, 'held')
    Object.assign(held, { connections, holders, deadline, redelivered: true })
    delivery.holders = []
    inFlight.set(id, held)
  }

  /** Whether a user has a connection that can be handed more at once. */
  hasRoom (userId: string): boolean {
    return this.#parts.subscribers.of(userId).some(subscriber => this.#isTaking(subscriber) && !subscriber.isCongested)
  }

  /** For each connection of a user that is only slow: resolves when it can take more, or the signal aborts. */
  relieved (userId: string, over: AbortSignal): Array<Promise<void>> {
    return this.#parts.subscribers.of(userId)
      .filter(subscriber => this.#isTaking(subscriber))
      .map(async subscriber => await subscriber.relieved(over))
  }

  /**
   * A client acknowledges notifications.
   * @returns the ids that it was not waited for, no more than it can have been sent
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
   * @returns what nobody else has, the oldest first
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

  /** The connections that have left something unacknowledged for too long. */
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

  /** Whether nothing but slowness keeps a connection from being handed more. */
  #isTaking (subscriber: Subscriber): boolean {
    return subscriber.isUsable && !this.#isFull(subscriber)
  }
}

/** What was handed out first comes first, and has the earliest deadline. */
function addOverdue ({ inFlight }: Mailbox, now: number, late: Set<Subscriber>): void {
  for (const { deadline, holders } of inFlight.values()) {
    if (deadline > now) return
    for (const holder of holders) late.add(holder)
  }
}
