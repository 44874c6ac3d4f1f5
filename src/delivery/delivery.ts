import type { Circumstance, Kind, Members, Origin, Outcome, Result, Subscriber } from './doors.js'
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
  /** When it is given up if no client has acknowledged it, whichever connections had it. Set when a connection is first handed it. */
  lastDeadline = Infinity
  /** Bytes of memory of the message that it is from. They stay the same, also when another message of its id has joined it. */
  readonly bytes: number
  /** Whether a peer has said that clients there have it, or that it waits for room at them. */
  isTakenElsewhere = false
  /** Whether no client here has acknowledged it in time. A guest: nor what it has joined. */
  isOverdue = false
  /** Whether it waits for clients, in the {@link AckWindow}, and since when. */
  isInWindow = false
  waitsSince = 0
  /** Whether the hold may have it, though it said that it has not. */
  isMaybeHeld = false
  /** Whether a client may have seen it before. */
  redelivered: boolean
  /** What it waits for on this instance; undefined if a connection has it, or if only peers are waited for. */
  waitsFor: 'room' | 'hold' | 'dead-letters' | 'retry' | undefined
  /** When it began to wait for that, or for the peers, in milliseconds since 1970. */
  causeSince: number | undefined
  /** Other notifications of this id whose outcome is that of this delivery. */
  joined: Origin[] | undefined
  /** The number under which peers know it. */
  relay: number | undefined
  /** Whether the broker has delivered its message again since peers were last looked for its user. */
  isRetaken = false
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
   * @param members for a live one: the connections that it is for
   */
  constructor (
    readonly notification: Notification,
    public origin: Origin | undefined,
    readonly position: number,
    readonly expiresAt: number,
    readonly kind: Kind = 'own',
    readonly members?: Members
  ) {
    this.redelivered = origin?.redelivered ?? false
    this.bytes = origin?.bytes ?? 0
  }

  get id (): string {
    return this.notification.payload.id
  }

  /** Whether it waits for a client, here or elsewhere, and not for an answer of the peers alone. */
  get waitsForClients (): boolean {
    return this.connections > 0 || this.isWaiting || this.isTakenElsewhere
  }

  /** Whether it waits for something on this instance: then peers are not asked again. */
  get isWaiting (): boolean {
    return this.waitsFor !== undefined
  }

  /** Whether it is on its way into the hold or into the dead-letter queue: no peer may be the first to have it. */
  get isGivenUp (): boolean {
    return this.waitsFor === 'hold' || this.waitsFor === 'dead-letters'
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

  /**
   * It waits from now on.
   * @param cause undefined if it waits for peers alone
   */
  waitFor (cause: Delivery['waitsFor']): void {
    this.waitsFor = cause
    this.causeSince = Date.now()
  }

  /** Notes whether its time is over. */
  checkDeadline (): void {
    this.isOverdue = this.lastDeadline <= performance.now()
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
