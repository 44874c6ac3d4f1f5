import type { Delivery } from './delivery.js'
import type { Origin } from './doors.js'
import { USER_BYTES } from './multicast.js'
import type { Payload } from './payload.js'
import type { MulticastElsewhere } from './peers.js'
import { SmallMap } from './small-map.js'

/** What waits for clients, and takes a place of the window. */
export type WindowEntry = Delivery | MulticastPlace

/**
 * A message to many, while it waits for clients of other instances. It has no user: all such messages together count as
 * those of one user.
 */
export class MulticastPlace {
  readonly userId = '' // no user has this id
  readonly bytes: number
  isInWindow = false
  waitsSince = 0

  constructor (readonly notification: { readonly payload: Payload }, readonly origin: Origin, private readonly elsewhere: MulticastElsewhere) {
    this.bytes = origin.bytes
  }

  /** Whether clients of other instances may have it. Else it waits for the broker. */
  get waitsForClients (): boolean {
    return this.elsewhere.isWithPeers
  }

  /** Waits no more for clients of other instances. */
  stop (): void {
    this.elsewhere.stop()
  }
}

/** How many messages may be unsettled, and how many bytes of memory they may take. */
export interface WindowSize {
  readonly count: number
  readonly bytes: number
}

/** The share of the window that may wait for the clients of one user before the rest is given up at once: see {@link AckWindow.isUsedUpBy}. */
const USER_SHARE = 1 / 4

/** The share of the window that may wait for clients. The rest is for users whose messages need no ack, or no long wait. */
const TOTAL_SHARE = 3 / 4

/** How long clients that acknowledge may take while more than the total share waits, in milliseconds. */
const PATIENCE = 1_000

/** Whether one connection can't use up more than a user's share of the window. */
export function isFair ({ prefetch, maxUnacked, offline }: { prefetch: number, maxUnacked: number, offline: 'drop' | 'dead-letter' | 'hold' }): boolean {
  const share = prefetch * USER_SHARE
  return share >= 1 && (offline === 'hold' || maxUnacked <= share)
}

/** Messages that wait for the clients of one user. */
class UserWindow {
  /** In the order in which they began to wait. */
  readonly deliveries = new SmallMap<WindowEntry, WindowEntry>()
  bytes = 0
  /** Whether some of them had to give way, and the user's clients have not acknowledged all the others since. */
  hasOverstayed = false
}

/**
 * The messages of queues that wait for clients, here or on other instances: to acknowledge, or to have room. The broker
 * sends only so many messages before one is settled (`prefetch`). Without a bound, one user whose clients don't acknowledge would use up the window.
 */
export class AckWindow {
  readonly #size: WindowSize
  readonly #byUser = new Map<string, UserWindow>()
  /** How many deliveries of each message for several users wait. It takes one place, until the last of them is settled. */
  readonly #shared = new Map<Payload, number>()
  #count = 0
  #bytes = 0

  constructor (size: WindowSize) {
    this.#size = size
  }

  /** A delivery waits for clients. Ignores what no queue delivers again. */
  add (delivery: WindowEntry): void {
    if (delivery.isInWindow || delivery.origin?.redelivers !== true) return
    const { userId, origin, bytes, notification: { payload } } = delivery
    let user = this.#byUser.get(userId)
    if (user === undefined) this.#byUser.set(userId, user = new UserWindow())
    delivery.isInWindow = true
    delivery.waitsSince = performance.now()
    user.deliveries.set(delivery, delivery)
    user.bytes += bytes
    if (origin.isShared) {
      this.#bytes += USER_BYTES
      const others = this.#shared.get(payload) ?? 0
      this.#shared.set(payload, others + 1)
      if (others > 0) return
    }
    this.#count++
    this.#bytes += bytes
  }

  /** A delivery waits for clients no more. */
  delete (delivery: WindowEntry): void {
    if (!delivery.isInWindow) return
    const { userId, bytes, notification: { payload } } = delivery
    const user = this.#byUser.get(userId)!
    delivery.isInWindow = false
    user.deliveries.delete(delivery)
    user.bytes -= bytes
    if (user.deliveries.size === 0) this.#byUser.delete(userId)
    if (this.#shared.has(payload)) this.#bytes -= USER_BYTES
    if (!isLast(this.#shared, payload)) return
    this.#count--
    this.#bytes -= bytes
  }

  /**
   * Whether a user's clients have as much to acknowledge as they may, so that nothing more may wait for them.
   * @param hasHold whether what may not wait is held. What would be lost may wait, unless the user's clients have overstayed
   */
  isUsedUpBy (userId: string, hasHold: boolean): boolean {
    const user = this.#byUser.get(userId)
    return user !== undefined && (hasHold || user.hasOverstayed) && this.#exceeds(USER_SHARE, user.deliveries.size, user.bytes)
  }

  /**
   * Looks for what has to give way while more than the total share waits: what has waited for longest, of the users of
   * whom most waits. Bursts that clients acknowledge in time are left alone.
   */
  overstaying (now: number): WindowEntry[] {
    let count = this.#count
    let bytes = this.#bytes
    const shared = new Map(this.#shared)
    const found: WindowEntry[] = []
    if (!this.#exceeds(TOTAL_SHARE, count, bytes)) return found
    for (const user of [...this.#byUser.values()].sort((a, b) => this.#part(b) - this.#part(a))) {
      for (const delivery of user.deliveries.values()) {
        if (!this.#exceeds(TOTAL_SHARE, count, bytes)) return found
        if (delivery.waitsSince > now - PATIENCE) break
        // What peers were asked to take, and nobody has yet, waits for them and not for a client.
        if (!delivery.waitsForClients) continue
        user.hasOverstayed = true
        found.push(delivery)
        if (shared.has(delivery.notification.payload)) bytes -= USER_BYTES
        if (!isLast(shared, delivery.notification.payload)) continue
        count--
        bytes -= delivery.bytes
      }
    }
    return found
  }

  #exceeds (share: number, count: number, bytes: number): boolean {
    return count >= Math.max(1, this.#size.count * share) || bytes >= this.#size.bytes * share
  }

  #part ({ deliveries, bytes }: UserWindow): number {
    return Math.max(deliveries.size / this.#size.count, bytes / this.#size.bytes)
  }
}

/** Takes away one delivery of a message. Returns whether the message waits for no other one. */
function isLast (shared: Map<Payload, number>, payload: Payload): boolean {
  const count = shared.get(payload) ?? 1
  if (count > 1) shared.set(payload, count - 1)
  else shared.delete(payload)
  return count <= 1
}
