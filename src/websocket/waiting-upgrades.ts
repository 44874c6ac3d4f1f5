import type { IncomingMessage } from 'node:http'
import { isAnswered, type Upgrade, type UpgradeSocket } from './upgrade.js'

/**
 * The upgrades that wait for an answer, each for a limited time. One timer serves all: a timer for each would add 3 µs to
 * an upgrade.
 */
export class WaitingUpgrades {
  /** The oldest first. */
  readonly #byRequest = new Map<IncomingMessage, Upgrade>()
  readonly #timeout: number
  readonly #overdue: (upgrade: Upgrade) => void
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

  /** Finds the oldest upgrade that counts and was answered: its client has not read all of the answer. */
  get oldestAnswered (): Upgrade | undefined {
    for (const upgrade of this.#byRequest.values()) if (upgrade.isCounted && isAnswered(upgrade)) return upgrade
    return undefined
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
    if (upgrade.isCounted) this.#countedSize++
    socket.on('close', upgrade.onClose)
    // Node removes its own listener from the socket of an upgrade. Without a listener, a reset connection would end the process.
    if (!socket.listeners('error').includes(destroy)) socket.on('error', destroy)
    if (this.#timer === undefined) this.#arm(this.#timeout)
  }

  /** Removes an upgrade. Ignores an unknown one. */
  delete (upgrade: Upgrade): void {
    const { request, socket } = upgrade
    if (!this.#byRequest.delete(request)) return
    if (upgrade.isCounted) this.#countedSize--
    socket.off('close', upgrade.onClose) // it would keep the request in memory as long as its WebSocket
    if (socket.listenerCount('error') > 1) socket.off('error', destroy) // somebody else uses the socket now
  }

  /** Stops the timer. */
  stop (): void {
    clearTimeout(this.#timer)
  }

  [Symbol.iterator] (): IterableIterator<Upgrade> {
    return this.#byRequest.values()
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
