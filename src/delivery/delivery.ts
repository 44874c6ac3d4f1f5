import type { ConsumeMessage } from 'amqplib'
import type { Notification } from '../rabbitmq/message.js'

/**
 * What became of a notification: a client said that it has it; handed to a socket; kept until the user connects;
 * counted, as its user has no connection; in the dead-letter queue, as its user has none.
 */
export type Outcome = 'acknowledged' | 'sent' | 'held' | 'offline' | 'dead-lettered'

export interface Routed {
  readonly outcome: Outcome
  /** How many connections it was handed to. */
  readonly connections: number
}

/** Where a notification came from, if from the queue. */
export interface Origin {
  readonly message: ConsumeMessage
  readonly queue: string
  /** Aborts when the broker will deliver the message again. */
  readonly gone: AbortSignal
  /** Where it comes close to the delivery limit of its queue. */
  readonly nearLimit?: NearLimit | undefined
  /** It is moved to the dead-letter queue: nothing more is to become of it, unless somebody has it already. */
  isMoved?: boolean
}

/** A message that the broker drops when it is returned a few times more. */
export interface NearLimit {
  readonly deliveryCount: number
  readonly deliveryLimit: number
  /** Whether to look first whether its user takes it now. */
  readonly treatment: 'attempt' | 'move'
}

/**
 * - `own`: this instance finds out what becomes of it
 * - `held`: it is in the hold, and has had its outcome
 * - `guest`: another instance asks whether somebody here takes it
 */
export type Kind = 'own' | 'held' | 'guest'

/** A notification on its way, until its outcome is known. */
export class Delivery {
  /** How many connections it has been handed to. */
  connections = 0
  /** Of those here, how many may still acknowledge it. */
  holders = 0
  /** When the time to acknowledge it ends, by `performance.now()`. */
  deadline = Infinity
  /** Whether a client may have seen it before. */
  redelivered: boolean
  /** Whether it waits: for room at a connection, or on its way into the hold or the dead-letter queue. */
  isWaiting = false
  /** Under which number other instances know it. */
  relay: number | undefined
  /** Whether a client here has it that can't acknowledge it: it is settled when the other instances have it too. */
  isSentHere = false
  private result: Routed | undefined
  private failure: { readonly error: unknown } | undefined
  private promise: Promise<Routed> | undefined
  private resolve: ((routed: Routed) => void) | undefined
  private reject: ((error: unknown) => void) | undefined

  /**
   * @param position when it was routed for the first time, in microseconds since 1970
   * @param expiresAt in milliseconds since 1970
   * @param origin where it came from, if from the queue
   */
  constructor (
    readonly notification: Notification,
    readonly position: number,
    readonly expiresAt: number,
    public origin: Origin | undefined,
    readonly kind: Kind = 'own'
  ) {
    this.redelivered = origin?.message.fields.redelivered ?? false
  }

  get id (): string {
    return this.notification.payload.id
  }

  get userId (): string {
    return this.notification.userId
  }

  /** Whether the broker will deliver it again, or it is moved to the dead-letter queue. */
  get isGone (): boolean {
    return this.origin !== undefined && (this.origin.gone.aborted || this.origin.isMoved === true)
  }

  /** Whether its outcome is known. */
  get isSettled (): boolean {
    return this.result !== undefined
  }

  /** Its outcome, once it is known. */
  get outcome (): Outcome | undefined {
    return this.result?.outcome
  }

  /** The same with all that is told of it: at once where it is known already. */
  get routed (): Routed | Promise<Routed> {
    return this.result ?? (this.promise ??= new Promise((resolve, reject) => {
      if (this.failure !== undefined) return reject(this.failure.error)
      this.resolve = resolve
      this.reject = reject
    }))
  }

  /** Its outcome is known. */
  settle (outcome: Outcome): void {
    this.result = { outcome, connections: this.connections }
    this.resolve?.(this.result)
  }

  /** Nobody takes it over. */
  fail (error: unknown): void {
    this.failure = { error }
    this.reject?.(error)
  }

  /** Nothing more is to become of it, as it is gone: who has joined it has to ask anew. */
  abandon (): void {
    this.fail(this.origin!.gone.reason ?? new DOMException('moved to the dead-letter queue', 'AbortError'))
  }
}
