import { reason } from './amqplib.js'
import { Backoff, type BackoffOptions } from '../backoff.js'

/** After this time the same reason is logged again, in milliseconds. So each day's log shows it. */
const REMINDER = 3_600_000

/** Maximum number of remembered reasons. */
const MAX_REASONS = 20

/**
 * Knows whether a connection has proved useful since it was opened. Until then, the waits between tries grow, and each
 * reason is logged once.
 *
 * An open connection proves nothing: a proxy, a limit or a refused permission may close it again at once.
 */
export class Stability {
  readonly #backoff: Backoff
  readonly #provenAfter: number
  readonly #proved: () => void
  readonly #now: () => number
  /** When each reason was logged, since the last proof. */
  readonly #logged = new Map<string, number>()
  #losses = 0
  #timer: NodeJS.Timeout | undefined

  /**
   * @param options a connection has also proved useful when it has stayed open for `maxDelay`
   * @param proved called when the connection has proved useful
   * @param now a monotonic clock, in milliseconds
   */
  constructor (options: BackoffOptions, proved: () => void, now = () => performance.now()) {
    this.#backoff = new Backoff(options)
    this.#provenAfter = options.maxDelay
    this.#proved = proved
    this.#now = now
  }

  /** The wait before the next try to open the connection, in milliseconds. */
  nextDelay (): number {
    return this.#backoff.next()
  }

  /** Whether the connection is lost again and again before it proves useful. */
  get isFlapping (): boolean {
    return this.#losses > 1
  }

  /** The connection was opened. */
  opened (): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.prove(), this.#provenAfter)
  }

  /** The connection was lost. */
  lost (): void {
    this.#losses++
    this.closed()
  }

  /** The connection is no longer open. */
  closed (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** The connection has proved useful. Cheap if that is known already. */
  prove (): void {
    if (this.#timer === undefined) return
    this.closed()
    this.#backoff.reset()
    this.#logged.clear()
    this.#losses = 0
    this.#proved()
  }

  /** Whether to log a failure: its reason is new, or was logged long ago. */
  isNews (error: unknown): boolean {
    const key = keyOf(error)
    const now = this.#now()
    const loggedAt = this.#logged.get(key)
    if (loggedAt !== undefined && now - loggedAt < REMINDER) return false
    this.#logged.delete(key)
    if (this.#logged.size >= MAX_REASONS) this.#logged.delete(this.#logged.keys().next().value!)
    this.#logged.set(key, now)
    return true
  }
}

/** A broker's error text may differ each time, for example by a delivery tag. Its codes don't (AMQP 0-9-1 §1.5.2.5). */
function keyOf (error: unknown): string {
  const { code, classId, methodId } = error as { code?: unknown, classId?: unknown, methodId?: unknown }
  return typeof code === 'number' ? `${code} ${classId} ${methodId}` : reason(error)
}
