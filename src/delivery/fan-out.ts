import { MulticastPlace } from './ack-window.js'
import type { Dispatcher } from './dispatcher.js'
import type { Members, Observer, Origin, Outcome, Result } from './doors.js'
import type { Groups } from './groups.js'
import { Multicast, sum, Tally, type Connected, type Summary } from './multicast.js'
import type { Notification } from './notification.js'
import type { Payload } from './payload.js'
import type { MulticastElsewhere, MulticastPeers } from './peers.js'
import type { Waiting } from './waiting.js'

export interface FanOutParts {
  dispatcher: Pick<Dispatcher, 'deliver' | 'deliverLive' | 'window'>
  /** The connections of everybody. */
  everybody: Members
  groups: Groups
  observer: Pick<Observer, 'fannedOut'>
}

/** Takes over from a user's notification that has failed, and tells its outcome. What it throws fails the multicast. */
export type Failed = (notification: Notification, error: unknown) => Promise<Outcome>

/** Delivers multicasts: one notification for each user, which share one payload. */
export class FanOut {
  /** With `cluster: true`. */
  peers: MulticastPeers | undefined
  readonly #parts: FanOutParts

  constructor (parts: FanOutParts) {
    this.#parts = parts
  }

  /**
   * Delivers a multicast, on all instances.
   * @param failed if it is not given, a notification that fails fails the multicast. The other users get it nevertheless
   * @returns what became of it, when all its users have their outcome
   */
  deliver (multicast: Multicast, origin: Origin, failed?: Failed): Summary | Promise<Summary> {
    const { audience, payload } = multicast
    if ('userIds' in audience) return this.#observe(multicast, origin, this.#toNamed(audience.userIds, payload, origin, failed))
    const elsewhere = this.peers?.deliver(audience, payload, origin)
    const here = this.#toConnected(audience, payload, origin, origin.redelivered, failed)
    return this.#observe(multicast, origin, elsewhere === undefined ? here : Promise.all([here, this.#awaitPeers(elsewhere, multicast, origin)]).then(sum))
  }

  /** What waits for other instances. */
  waiting (): Iterable<Waiting> {
    return this.peers?.waiting() ?? []
  }

  /** Delivers to those who are connected to this instance. */
  deliverHere (audience: Connected, payload: Payload, origin: Origin): Summary | Promise<Summary> {
    return this.#observe(new Multicast(audience, payload), origin, this.#toConnected(audience, payload, origin, false))
  }

  /** The same, as a peer asks. It never fails. */
  deliverForPeer (audience: Connected, payload: Payload, redelivered: boolean): Summary | Promise<Summary> {
    // Whoever failed is told by the observers. The others must not get it again.
    return this.#toConnected(audience, payload, undefined, redelivered, async () => 'offline')
  }

  /** While clients of other instances acknowledge, the message has its place in the window. */
  async #awaitPeers (elsewhere: MulticastElsewhere, multicast: Multicast, origin: Origin): Promise<Summary> {
    const { window } = this.#parts.dispatcher
    const place = new MulticastPlace(multicast, origin, elsewhere)
    window?.add(place)
    try {
      return await elsewhere.result
    } finally {
      window?.delete(place)
    }
  }

  #observe (multicast: Multicast, origin: Origin, summary: Summary | Promise<Summary>): Summary | Promise<Summary> {
    const { observer } = this.#parts
    if (summary instanceof Promise) return summary.then(summary => this.#observe(multicast, origin, summary))
    observer.fannedOut(multicast, origin, summary)
    return summary
  }

  /** @param origin undefined if a peer asks for it */
  #toConnected ({ group, except }: Connected, payload: Payload, origin: Origin | undefined, redelivered: boolean, failed?: Failed): Summary | Promise<Summary> {
    const { dispatcher, everybody, groups } = this.#parts
    const members = group === undefined ? everybody : groups.of(group)
    const outcomes = new PendingOutcomes(origin, failed)
    for (const userId of members.users.keys()) {
      if (!except.has(userId)) outcomes.add({ userId, payload }, notification => dispatcher.deliverLive(notification, members, origin, redelivered))
    }
    return outcomes.all()
  }

  #toNamed (userIds: Iterable<string>, payload: Payload, origin: Origin, failed: Failed | undefined): Summary | Promise<Summary> {
    const { dispatcher } = this.#parts
    const outcomes = new PendingOutcomes(origin, failed)
    for (const userId of userIds) outcomes.add({ userId, payload }, notification => dispatcher.deliver(notification, origin))
    return outcomes.all()
  }
}

/** Gathers the outcomes of one multicast. */
class PendingOutcomes {
  readonly #tally = new Tally()
  readonly #pending: Array<Promise<void>> = []

  constructor (private readonly origin: Origin | undefined, private readonly failed: Failed | undefined) {}

  /** Delivers one notification. An error is that of this user alone. */
  add (notification: Notification, deliver: (notification: Notification) => Result | Promise<Result>): void {
    try {
      const result = deliver(notification)
      if (result instanceof Promise) this.#wait(result.then(result => this.#tally.count(result), (error: unknown) => this.#fail(notification, error)))
      else this.#tally.count(result)
    } catch (error) {
      this.#wait(this.#fail(notification, error))
    }
  }

  all (): Summary | Promise<Summary> {
    if (this.#pending.length === 0) return this.#tally
    this.origin?.addUsers?.(this.#pending.length) // all at once: the bytes of each delivery are those of the message alone
    return Promise.all(this.#pending).then(() => this.#tally)
  }

  #wait (outcome: Promise<void>): void {
    const end = () => this.origin?.addUsers?.(-1)
    this.#pending.push(outcome.finally(end))
  }

  async #fail (notification: Notification, error: unknown): Promise<void> {
    if (this.failed === undefined) throw error
    this.#tally.count({ outcome: await this.failed(notification, error), connections: 0 })
  }
}
