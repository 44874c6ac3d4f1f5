import type { Circumstance, Kind, Origin, Outcome, Result, Subscriber } from './doors.js'
import type { Notification } from './notification.js'

const NOBODY: readonly Subscriber[] = []

/** One notification on its way, from its arrival until its outcome is known. */
export class Delivery {
  /** How many connections it was handed to, on all instances. */
  connections = 0
  /** The connections here that have it and have not acknowledged it. */
  holders: readonly Subscriber[] = NOBODY
  /** When one of the holders has to have acknowledged it, in milliseconds of the monotonic clock. */
  deadline = Infinity
  /** Whether a client may have seen it before. */
  redelivered: boolean
  /** Whether it waits for room, for the hold or for the dead-letter queue: then peers are not asked again. */
  isWaiting = false
  /** The number under which peers know it. */
  relay: number | undefined
  /** Whether a plain client here has it: it is settled when the broker has it for the peers too. */
  isSentHere = false
  /** What is special about how it got its outcome. */
  circumstance: Circumstance | undefined
  /** Guests that wait for what becomes of it here. */
  guests: Delivery[] | undefined
  #result: Result | undefined
  #failure: { readonly error: unknown } | undefined
  #promise: Promise<Result> | undefined
  #resolve: ((result: Result) => void) | undefined
  #reject: ((error: unknown) => void) | undefined

  /**
   * @param origin where it comes from; undefined for one of the hold and for a guest
   * @param position when it was taken first, in microseconds since 1970
   * @param expiresAt in milliseconds since 1970
   */
  constructor (
    readonly notification: Notification,
    public origin: Origin | undefined,
    readonly position: number,
    readonly expiresAt: number,
    readonly kind: Kind = 'own'
  ) {
    this.redelivered = origin?.redelivered ?? false
  }

  get id (): string {
    return this.notification.payload.id
  }

  get userId (): string {
    return this.notification.userId
  }

  /** Whether its source will hand it over again, or it is moved to the dead-letter queue. */
  get isGone (): boolean {
    return this.origin !== undefined && (this.origin.gone?.aborted === true || this.origin.isMoved)
  }

  /** Whether its outcome is known. */
  get isSettled (): boolean {
    return this.#result !== undefined
  }

  /** Its outcome, once it is known. */
  get outcome (): Outcome | undefined {
    return this.#result?.outcome
  }

  /** Its result: at once if it is known already. */
  get result (): Result | Promise<Result> {
    return this.#result ?? (this.#promise ??= new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure.error)
      this.#resolve = resolve
      this.#reject = reject
    }))
  }

  /** Nobody is waited for any more to acknowledge it. */
  letGo (): void {
    for (const holder of this.holders) holder.unackedCount--
    this.holders = NOBODY
  }

  /** Makes its outcome known. */
  settle (outcome: Outcome): void {
    this.#result = { outcome, connections: this.connections }
    this.#resolve?.(this.#result)
  }

  /** Tells whoever waits for its outcome that it has none. */
  fail (error: unknown): void {
    this.#failure = { error }
    this.#reject?.(error)
  }
}
