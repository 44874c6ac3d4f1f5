import type { Observer, Origin, Result } from './doors.js'
import type { Notification } from './notification.js'
import type { GiveUp } from './offline-policy.js'
import type { Registry } from './registry.js'

/**
 * Delivers where nothing ever waits: without acknowledgements, hold and peers, a socket takes a notification at once, or
 * nobody does. No mailbox is needed then.
 */
export class DirectDelivery {
  readonly #subscribers: Registry
  readonly #observer: Observer
  readonly #giveUp: GiveUp

  constructor (subscribers: Registry, observer: Observer, giveUp: GiveUp) {
    this.#subscribers = subscribers
    this.#observer = observer
    this.#giveUp = giveUp
  }

  /** Hands a notification to every connection of its user. */
  deliver (notification: Notification, origin: Origin): Result | Promise<Result> {
    let connections = 0
    for (const subscriber of this.#subscribers.of(notification.userId)) {
      if (subscriber.send(notification.payload, origin.redelivered)) connections++
    }
    const result: Result | Promise<Result> = connections > 0 ? { outcome: 'sent', connections } : this.#giveUp(notification, origin)
    return result instanceof Promise ? this.#watch(notification, origin, result) : this.#settle(notification, origin, result)
  }

  #settle (notification: Notification, origin: Origin, result: Result): Result {
    this.#observer.settled(notification, origin, 'own', result, undefined)
    return result
  }

  async #watch (notification: Notification, origin: Origin, given: Promise<Result>): Promise<Result> {
    let result: Result
    try {
      result = await given
    } catch (error) {
      this.#observer.failed(notification, origin, error)
      throw error
    }
    return this.#settle(notification, origin, result)
  }
}
