import { reason } from './amqplib.js'
import { Backoff, type BackoffOptions } from '../backoff.js'

/** The same reason is logged again after this time, in milliseconds: often enough to be in the log of each day. */
const REMINDER = 3_600_000

/** How many reasons are remembered. */
const MAX_REASONS = 20

/**
 * Whether a connection has proved useful since it was opened. Until then the waits before it is opened again go on
 * growing, and a reason is logged once.
 *
 * That it was opened proves nothing: a proxy, a limit or a refused permission may close it again at once.
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
   * @param options it is proven when it has stayed open for `maxDelay`: then it is opened again no more often than that
   * @param proved called when it has proved useful after it was lost
   * @param now a monotonic clock, in milliseconds
   */
  constructor (options: BackoffOptions, proved: () => void, now = () => performance.now()) {
    this.#backoff = new Backoff(options)
    this.#provenAfter = options.maxDelay
    this.#proved = proved
    this.#now = now
  }

  /** How long to wait before the next try to open it, in milliseconds. */
  nextDelay (): number {
    return this.#backoff.next()
  }

  /** Whether it was opened, and lost again before it proved useful. */
  get isFlapping (): boolean {
    return this.#losses > 1
  }

  /** It was opened. */
  opened (): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.prove(), this.#provenAfter)
  }

  /** It was lost. */
  lost (): void {
    this.#losses++
    this.closed()
  }

  /** It is not open any more. */
  closed (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** It has proved useful. Costs nothing where it has done so before. */
  prove (): void {
    if (this.#timer === undefined) return
    this.closed()
    this.#backoff.reset()
    this.#logged.clear()
    this.#losses = 0
    this.#proved()
  }

  /** Whether a failure has to be logged: its reason is new, or was logged long ago. */
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

/** The texts of a broker name what differs each time, a delivery tag for example: its codes do not (AMQP 0-9-1 §1.5.2.5). */
function keyOf (error: unknown): string {
  const { code, classId, methodId } = error as { code?: unknown, classId?: unknown, methodId?: unknown }
  return typeof code === 'number' ? `${code} ${classId} ${methodId}` : reason(error)
}
