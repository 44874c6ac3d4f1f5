import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { errors } from '../errors.js'
import type { UpgradeContext } from '../options/values.js'
import type { Options } from '../options/schema.js'
import { withTimeout } from '../with-timeout.js'
import { networkOf } from './network.js'
import { hasGone } from './upgrade.js'

/** How long the answers may take when the application closes, in milliseconds. */
const CLOSE_GRACE = 1_000

/**
 * Runs the application's decisions about upgrades: `authenticate` and an `allowedOrigins` function. At most
 * `limits.pendingUpgrades` calls run at a time. No client waits for a call longer than `limits.upgradeTimeout`. A call
 * that goes on after its signal has aborted still counts: it still uses memory, and perhaps a database connection.
 */
export class PendingDecisions {
  readonly #limits: Options['limits']
  readonly #log: FastifyBaseLogger
  readonly #running = new Set<AbortController>()
  /** How many calls run for clients of each network. */
  readonly #countByNetwork = new Map<string, number>()
  /** The sockets of clients that wait for a decision. */
  readonly #waiting = new Set<Socket>()
  /** Whether the warning about calls that ignore their signal has been logged. */
  #hasWarned = false
  #isClosing = false

  constructor (limits: Options['limits'], log: FastifyBaseLogger) {
    this.#limits = limits
    this.#log = log
  }

  /**
   * Runs a decision.
   * @throws FST_NOTIFICATION_TOO_MANY_UPGRADES, FST_NOTIFICATION_TOO_MANY_UPGRADES_OF_ADDRESS,
   *   FST_NOTIFICATION_UPGRADE_TIMEOUT, FST_NOTIFICATION_CLIENT_GONE, FST_NOTIFICATION_CLOSING, or what the decision throws
   */
  async run<T> ({ ip, raw }: FastifyRequest, decide: (context: UpgradeContext) => Promise<T>): Promise<T> {
    const socket: Socket | undefined = raw.socket // `injectWS` has none
    // The client may have gone, or been refused, while a hook of the application ran. Its socket has no more events then.
    if (socket !== undefined && hasGone(socket)) throw new errors.ClientGone()
    const network = networkOf(ip)
    this.#assertRoom(network)
    const controller = new AbortController()
    const { signal } = controller
    const onGone = () => controller.abort(new errors.ClientGone())
    const timer = setTimeout(() => controller.abort(new errors.UpgradeTimeout()), this.#limits.upgradeTimeout)
    // The event is 'end' if the client has closed its end, and 'close' if the connection was cut off.
    socket?.once('end', onGone).once('close', onGone)
    this.#running.add(controller)
    this.#count(network, 1)
    if (socket !== undefined) this.#waiting.add(socket)
    const onEnd = () => this.#end(controller, network)
    const decided = decide({ signal })
    decided.then(onEnd, onEnd)
    try {
      const decision = await Promise.race([decided, aborted(signal)])
      signal.throwIfAborted()
      return decision
    } catch (error) {
      throw signal.aborted ? signal.reason : error // not the error that the call made of the abort
    } finally {
      clearTimeout(timer)
      if (socket !== undefined) this.#waiting.delete(socket)
      socket?.off('end', onGone).off('close', onGone)
    }
  }

  /**
   * Aborts every call, because the application is closing.
   * @returns when the clients that waited have been answered, or after a second
   */
  async close (): Promise<void> {
    this.#isClosing = true
    const answered = Promise.all(Array.from(this.#waiting, async socket => { if (!socket.closed) await once(socket, 'close').catch(() => {}) }))
    for (const controller of this.#running) controller.abort(new errors.Closing())
    await withTimeout(CLOSE_GRACE, answered)
  }

  /** @throws FST_NOTIFICATION_TOO_MANY_UPGRADES, FST_NOTIFICATION_TOO_MANY_UPGRADES_OF_ADDRESS, FST_NOTIFICATION_CLOSING */
  #assertRoom (network: string | undefined): void {
    const { pendingUpgrades, pendingUpgradesPerAddress } = this.#limits
    if (this.#isClosing) throw new errors.Closing()
    if (network !== undefined && (this.#countByNetwork.get(network) ?? 0) >= pendingUpgradesPerAddress) throw new errors.TooManyUpgradesOfAddress()
    if (this.#running.size < pendingUpgrades) return
    this.#warn()
    throw new errors.TooManyUpgrades()
  }

  /** A call has ended. */
  #end (controller: AbortController, network: string | undefined): void {
    this.#running.delete(controller)
    this.#count(network, -1)
    if (this.#hasWarned && this.#countOverdue() === 0) this.#hasWarned = false
  }

  #count (network: string | undefined, change: 1 | -1): void {
    if (network === undefined) return
    const count = (this.#countByNetwork.get(network) ?? 0) + change
    if (count === 0) this.#countByNetwork.delete(network)
    else this.#countByNetwork.set(network, count)
  }

  #countOverdue (): number {
    return [...this.#running].filter(({ signal }) => signal.aborted).length
  }

  #warn (): void {
    const overdue = this.#hasWarned ? 0 : this.#countOverdue()
    if (overdue === 0) return
    this.#hasWarned = true
    const { pendingUpgrades } = this.#limits
    this.#log.warn({ overdue, running: this.#running.size, pendingUpgrades }, 'new connections are refused while calls of authenticate or allowedOrigins run on after their signal has aborted')
  }
}

/** Rejects when a signal aborts. */
async function aborted (signal: AbortSignal): Promise<never> {
  return await new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
