import type { IncomingMessage } from 'node:http'
import { hasGone, isAnswered, isRead, type Upgrade, type UpgradeSocket } from './upgrade.js'

/**
 * The upgrades that wait for an answer, each for a limited time. One timer serves all: a timer for each would add 3 µs to
 * an upgrade.
 */
export class WaitingUpgrades {
  /** The oldest first. */
  readonly #byRequest = new Map<IncomingMessage, Upgrade>()
  readonly #timeout: number
  readonly #overdue: (upgrade: Upgrade) => void
  /** Those that count, by the networks of their clients; the oldest first. */
  readonly #byNetwork = new Map<string, Set<Upgrade>>()
  #countedSize = 0
  #timer: NodeJS.Timeout | undefined

  /**
   * @param timeout how long an upgrade may wait, in milliseconds
   * @param overdue called for each upgrade that has waited that long. It is still there
   */
  constructor (timeout: number, overdue: (upgrade: Upgrade) => void) {
    this.#timeout = timeout
    this.#overdue = overdue
  }

  /** How many upgrades there are to which the limit of waiting upgrades applies. */
  get countedSize (): number {
    return this.#countedSize
  }

  /** How many others there are. */
  get uncountedSize (): number {
    return this.#byRequest.size - this.#countedSize
  }

  get (request: IncomingMessage): Upgrade | undefined {
    return this.#byRequest.get(request)
  }

  /** Finds the oldest upgrade that counts and was answered, or whose client has gone: nobody waits for its place. */
  get oldestDone (): Upgrade | undefined {
    for (const upgrade of this.#byRequest.values()) if (upgrade.isCounted && (isAnswered(upgrade) || hasGone(upgrade.socket))) return upgrade
    return undefined
  }

  /**
   * Finds the upgrade that makes room for one more of a network: the newest one of the network that has most. It has cost
   * the least so far, and those before it go on.
   * @returns undefined if the network would then have as many as the one that has most, or if it is not known
   */
  giveWayTo (network: string | undefined): Upgrade | undefined {
    if (network === undefined) return undefined
    let largest = new Set<Upgrade>()
    for (const upgrades of this.#byNetwork.values()) if (upgrades.size > largest.size) largest = upgrades
    const size = this.#byNetwork.get(network)?.size ?? 0
    return size + 1 < largest.size ? [...largest].findLast(({ socket }) => !isRead(socket)) : undefined
  }

  /** Finds the oldest upgrade to which the limit of waiting upgrades does not apply. */
  get oldestUncounted (): Upgrade | undefined {
    for (const upgrade of this.#byRequest.values()) if (!upgrade.isCounted) return upgrade
    return undefined
  }

  /** Adds an upgrade, until its socket closes or `delete` is called. */
  add (upgrade: Upgrade): void {
    const { request, socket } = upgrade
    upgrade.until = performance.now() + this.#timeout
    this.#byRequest.set(request, upgrade)
    this.#count(upgrade)
    socket.on('close', upgrade.onClose)
    // Node removes its own listener from the socket of an upgrade. Without a listener, a reset connection would end the process.
    if (!socket.listeners('error').includes(destroy)) socket.on('error', destroy)
    if (this.#timer === undefined) this.#arm(this.#timeout)
  }

  /** Removes an upgrade. Ignores an unknown one. */
  delete (upgrade: Upgrade): void {
    const { request, socket } = upgrade
    if (!this.#byRequest.delete(request)) return
    this.#uncount(upgrade)
    socket.off('close', upgrade.onClose) // it would keep the request in memory as long as its WebSocket
    if (socket.listenerCount('error') > 1) socket.off('error', destroy) // somebody else uses the socket now
  }

  /** Takes an upgrade out of those to which the limit applies. It waits no longer for an answer, only for its end. */
  discount (upgrade: Upgrade): void {
    this.#uncount(upgrade)
    upgrade.isCounted = false
  }

  /** Stops the timer. */
  stop (): void {
    clearTimeout(this.#timer)
  }

  [Symbol.iterator] (): IterableIterator<Upgrade> {
    return this.#byRequest.values()
  }

  #count (upgrade: Upgrade): void {
    const { isCounted, network } = upgrade
    if (!isCounted) return
    this.#countedSize++
    if (network === undefined) return
    const upgrades = this.#byNetwork.get(network)
    if (upgrades === undefined) this.#byNetwork.set(network, new Set([upgrade]))
    else upgrades.add(upgrade)
  }

  #uncount (upgrade: Upgrade): void {
    const { isCounted, network } = upgrade
    if (!isCounted) return
    this.#countedSize--
    if (network === undefined) return
    const upgrades = this.#byNetwork.get(network)
    upgrades?.delete(upgrade)
    if (upgrades?.size === 0) this.#byNetwork.delete(network)
  }

  #arm (wait: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#checkOverdue(), wait).unref() // a socket that waits keeps the process alive anyway
  }

  #checkOverdue (): void {
    this.#timer = undefined
    const now = performance.now()
    for (const upgrade of this) {
      if (upgrade.until > now) return this.#arm(upgrade.until - now)
      this.#overdue(upgrade)
    }
  }
}

function destroy (this: UpgradeSocket): void {
  this.destroy()
}
