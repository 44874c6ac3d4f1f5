import type { Members, Observer, Origin, Result } from './doors.js'
import type { Notification } from './notification.js'
import type { OfflinePolicy } from './offline-policy.js'
import type { Registry } from './registry.js'
import type { Waiting } from './waiting.js'

/**
 * Delivers where nothing ever waits: without acknowledgements and hold, and while there are no peers, a socket takes a
 * notification at once, or nobody does. No mailbox is needed then.
 */
export class DirectDelivery {
  readonly #subscribers: Registry
  readonly #observer: Observer
  readonly #offlinePolicy: OfflinePolicy
  readonly #waiting = new Set<Waiting>()

  constructor (subscribers: Registry, observer: Observer, offlinePolicy: OfflinePolicy) {
    this.#subscribers = subscribers
    this.#observer = observer
    this.#offlinePolicy = offlinePolicy
  }

  /** What waits for the dead-letter queue. */
  get waiting (): Iterable<Waiting> {
    return this.#waiting
  }

  /** Hands a notification to every connection of its user. If none takes it, follows the option `offline`. */
  deliver (notification: Notification, origin: Origin): Result | Promise<Result> {
    const sent = this.send(notification, origin)
    if (sent !== undefined) return sent
    const result = this.#offlinePolicy(notification, origin)
    return result instanceof Promise ? this.#watch(notification, origin, result) : this.#settle(notification, origin, result)
  }

  /**
   * Hands a notification to every connection of its user.
   * @returns undefined if none takes it
   */
  send (notification: Notification, origin: Origin): Result | undefined {
    let connections = 0
    for (const subscriber of this.#subscribers.of(notification.userId)) {
      if (subscriber.send(notification.payload, origin.redelivered)) connections++
    }
    return connections === 0 ? undefined : this.#settle(notification, origin, { outcome: 'sent', connections })
  }

  /** Hands a live notification to the connections of its user that it is for. */
  deliverLive (notification: Notification, members: Members, origin: Origin | undefined, redelivered: boolean): Result {
    let connections = 0
    for (const subscriber of members.of(notification.userId)) if (subscriber.send(notification.payload, redelivered)) connections++
    const result: Result = { outcome: connections > 0 ? 'sent' : 'offline', connections }
    this.#observer.settled(notification, origin, 'live', result, undefined)
    return result
  }

  #settle (notification: Notification, origin: Origin, result: Result): Result {
    this.#observer.settled(notification, origin, 'own', result, undefined)
    return result
  }

  async #watch (notification: Notification, origin: Origin, given: Promise<Result>): Promise<Result> {
    const { userId, payload: { id } } = notification
    const waiting: Waiting = { userId, id, kind: 'own', origin, cause: 'dead-letters', since: Date.now(), connections: 0 }
    let result: Result
    this.#waiting.add(waiting)
    try {
      result = await given
    } catch (error) {
      this.#observer.failed(notification, origin, error)
      throw error
    } finally {
      this.#waiting.delete(waiting)
    }
    return this.#settle(notification, origin, result)
  }
}
