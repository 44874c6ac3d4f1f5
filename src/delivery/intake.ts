import { steadyNow } from '../clock.js'
import { Delivery } from './delivery.js'
import type { Members, Observer, Origin, Result } from './doors.js'
import type { Mailboxes } from './mailbox.js'
import type { Notification } from './notification.js'
import type { Placement } from './placement.js'

export interface IntakeParts {
  mailboxes: Mailboxes
  placement: Placement
  observer: Observer
  /** Maximum age in the hold, in milliseconds; undefined without a hold. */
  maxAge: number | undefined
}

/** Takes what sources hand over: makes a delivery of each notification, or joins the delivery of the same id. */
export class Intake {
  /**
   * The clock of positions and of expiry times. Other processes compare such times with their own where they share a
   * store, or are peers. Then this has to be the wall clock.
   */
  now: () => number = steadyNow
  readonly #parts: IntakeParts
  #lastPosition = 0

  constructor (parts: IntakeParts) {
    this.#parts = parts
  }

  /**
   * Takes a notification.
   * @param before a delivery whose place it takes in the order of its user
   */
  take (notification: Notification, origin: Origin, before?: Delivery): Result | Promise<Result> {
    const { mailboxes, placement } = this.#parts
    const same = mailboxes.get(notification.userId)?.find(notification.payload.id)
    if (same !== undefined) return this.#join(same, notification, origin)
    const delivery = this.createDelivery(notification, origin, before)
    placement.place(delivery)
    return delivery.result
  }

  /**
   * Takes a live notification.
   * @param members the connections that it is for
   * @param origin undefined if a peer asks for it
   */
  takeLive (notification: Notification, members: Members, origin: Origin | undefined, redelivered: boolean): Result | Promise<Result> {
    const { mailboxes, placement } = this.#parts
    const same = mailboxes.get(notification.userId)?.find(notification.payload.id)
    if (same !== undefined) {
      if (redelivered) same.redelivered = true
      if (same.kind === 'live' && origin?.redelivers === true) return this.#adopt(same, notification, origin)
      return this.#follow(same, notification, origin, () => this.takeLive(notification, members, origin, true))
    }
    const delivery = new Delivery(notification, origin, this.#nextPosition(this.now()), Infinity, 'live', members)
    delivery.redelivered = redelivered
    placement.place(delivery)
    return delivery.result
  }

  /** Joins a delivery of the same id that is under way. */
  #join (same: Delivery, notification: Notification, origin: Origin): Result | Promise<Result> {
    // Between the two deliveries a peer may have had it, and a client may have seen it.
    if (origin.redelivered) same.redelivered = true
    if (same.kind === 'guest' || same.kind === 'live' || !origin.redelivers) return this.#follow(same, notification, origin, () => this.take(notification, origin, same))
    if (same.kind === 'held') {
      // It is in the hold until a client acknowledges it.
      const result: Result = { outcome: 'held', connections: 0 }
      this.#parts.observer.settled(notification, origin, 'own', result, 'repeated')
      return result
    }
    return this.#adopt(same, notification, origin)
  }

  /** The broker delivers again what it waits for: the outcome is that of what is under way. */
  #adopt (same: Delivery, notification: Notification, origin: Origin): Result | Promise<Result> {
    const before = same.origin
    same.origin = origin
    same.isRetaken = true
    if (before?.redelivers === true && before.gone?.aborted !== true) this.#tellJoined(same, notification, before)
    return same.result
  }

  /** Two messages of one id are under way. The delivery reports the outcome of the second one; this reports that of the first one. */
  #tellJoined (same: Delivery, notification: Notification, origin: Origin): void {
    const { observer } = this.#parts
    addJoined(same, origin)
    Promise.resolve(same.result).then(result => observer.settled(notification, origin, 'own', result, 'joined'), () => {}) // its source is told
  }

  /**
   * The outcome is that of a delivery that is under way. If nobody here takes that one, and it is a guest or a live one,
   * or its message will be delivered again, this one is delivered by itself.
   */
  async #follow (same: Delivery, notification: Notification, origin: Origin | undefined, takeAgain: () => Result | Promise<Result>): Promise<Result> {
    const { observer } = this.#parts
    const isPassing = same.kind === 'guest' || same.kind === 'live'
    if (origin !== undefined) addJoined(same, origin)
    const result = await Promise.resolve(same.result).catch((error: unknown) => {
      if (isPassing || same.isGone) return undefined
      observer.failed(notification, origin, error)
      throw error
    })
    if (result === undefined || (isPassing && result.outcome === 'offline')) return await takeAgain()
    observer.settled(notification, origin, 'own', result, same.kind === 'guest' ? undefined : 'joined')
    return result
  }

  /**
   * Makes a delivery of a notification.
   * @param before a delivery whose place it takes in the order of its user
   */
  createDelivery (notification: Notification, origin: Origin, before?: Delivery): Delivery {
    const { maxAge } = this.#parts
    const time = this.now()
    const fresh = { position: before?.position ?? this.#nextPosition(time), expiresAt: time + origin.timeToLive }
    const earlier = maxAge === undefined ? undefined : origin.timesBefore(fresh, this.now, maxAge)
    const { position, expiresAt } = earlier ?? fresh
    const delivery = new Delivery(notification, origin, position, expiresAt)
    if (before !== undefined || earlier !== undefined) delivery.redelivered = true
    return delivery
  }

  /** In microseconds since 1970. The wall clock may go back; an order may not. */
  #nextPosition (time: number): number {
    return (this.#lastPosition = Math.max(this.#lastPosition + 1, Math.floor(time * 1_000)))
  }
}

function addJoined (delivery: Delivery, origin: Origin): void {
  (delivery.joined ??= []).push(origin)
}
