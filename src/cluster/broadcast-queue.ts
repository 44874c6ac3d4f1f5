import { Backoff, type BackoffOptions } from '../backoff.js'

/** Maximum number and bytes of the broadcasts that wait. A single broadcast may exceed the byte limit. */
const MAX_COUNT = 1_000
const MAX_BYTES = 16_777_216

/**
 * How long a broadcast may wait, in milliseconds. A broadcast is for the users who are connected when it is made. A
 * lost connection to the broker is opened again in less time.
 */
const MAX_AGE = 60_000

/** Maximum number and bytes of the broadcasts that are published before the broker must confirm them. */
const MAX_BATCH_COUNT = 100
const MAX_BATCH_BYTES = 1_048_576

/** Called with whether the broker has accepted the publish. */
type Answered = (isTaken: boolean) => void

export interface BroadcastQueueParts {
  /** The waits between attempts while the broker accepts no publishes. */
  reconnect: BackoffOptions
  /** Asks whether the broker accepts publishes now. */
  probe (answered: Answered): void
  publish (body: string, answered: Answered): void
  sent (): void
  unsent (reason: 'overflow' | 'expired'): void
  /** A monotonic clock, in milliseconds. */
  now?: () => number
}

interface Waiting {
  readonly body: string
  readonly bytes: number
  /** When the broadcast is dropped, by the clock of the queue. */
  readonly until: number
}

/**
 * Broadcasts for the peers, in order. They wait while the broker accepts no publishes. If too many wait, or they wait
 * too long, the queue drops the oldest.
 *
 * Before each batch, a publish that reaches nobody checks whether the broker accepts publishes. We notice a broker's
 * alarm only at the first publish. The broker accepts everything that was written to the connection before that when
 * the alarm ends, however old it is.
 */
export class BroadcastQueue {
  readonly #parts: BroadcastQueueParts
  readonly #now: () => number
  readonly #backoff: Backoff
  readonly #waiting: Waiting[] = []
  #bytes = 0
  /** Whether the broker has yet to answer a probe or a batch. */
  #isBusy = false
  #retry: NodeJS.Timeout | undefined
  #expiry: NodeJS.Timeout | undefined
  #isClosed = false

  constructor (parts: BroadcastQueueParts) {
    this.#parts = parts
    this.#now = parts.now ?? (() => performance.now())
    this.#backoff = new Backoff(parts.reconnect)
  }

  /** Publishes a broadcast as soon as the broker accepts it. */
  add (body: string): void {
    if (this.#isClosed) return
    const bytes = Buffer.byteLength(body)
    this.#waiting.push({ body, bytes, until: this.#now() + MAX_AGE })
    this.#bytes += bytes
    this.#bound()
    this.#expire()
    if (this.#retry === undefined) this.#publishNext()
  }

  /** The broker may accept publishes again: tries at once. */
  resume (): void {
    clearTimeout(this.#retry)
    this.#retry = undefined
    this.#publishNext()
  }

  /** Publishes the broadcasts that wait, without waiting for the confirms. */
  close (): void {
    this.#isClosed = true
    clearTimeout(this.#retry)
    clearTimeout(this.#expiry)
    const now = this.#now()
    for (const { body, until } of this.#waiting.splice(0)) if (until > now) this.#parts.publish(body, () => {})
  }

  #shift (): Waiting {
    const oldest = this.#waiting.shift()!
    this.#bytes -= oldest.bytes
    return oldest
  }

  #bound (): void {
    while (this.#waiting.length > MAX_COUNT || (this.#bytes > MAX_BYTES && this.#waiting.length > 1)) {
      this.#shift()
      this.#parts.unsent('overflow')
    }
  }

  /** Drops the broadcasts that have expired, and sets a timer for the next one. */
  #expire (): void {
    const now = this.#now()
    while (this.#waiting.length > 0 && this.#waiting[0]!.until <= now) {
      this.#shift()
      this.#parts.unsent('expired')
    }
    if (this.#waiting.length === 0) {
      clearTimeout(this.#expiry)
      this.#expiry = undefined
    } else {
      this.#expiry ??= setTimeout(() => {
        this.#expiry = undefined
        this.#expire()
      }, this.#waiting[0]!.until - now + 1)
    }
  }

  #publishNext (): void {
    if (this.#isBusy || this.#isClosed || this.#waiting.length === 0) return
    this.#isBusy = true
    this.#parts.probe(isTaken => {
      this.#isBusy = false
      if (this.#isClosed) return
      this.#expire()
      if (isTaken) this.#publishBatch()
      else this.#retryLater()
    })
  }

  #publishBatch (): void {
    const batch = this.#takeBatch()
    if (batch.length === 0) return
    this.#isBusy = true
    const refused = new Set<Waiting>()
    let unanswered = batch.length
    for (const one of batch) {
      this.#parts.publish(one.body, isTaken => {
        if (!isTaken) refused.add(one)
        if (--unanswered === 0) this.#end(batch, refused)
      })
    }
  }

  #takeBatch (): Waiting[] {
    const batch: Waiting[] = []
    for (let bytes = 0; batch.length < MAX_BATCH_COUNT && this.#waiting.length > 0;) {
      bytes += this.#waiting[0]!.bytes
      if (batch.length > 0 && bytes > MAX_BATCH_BYTES) break
      batch.push(this.#shift())
    }
    return batch
  }

  /** The broker has answered all publishes of a batch. */
  #end (batch: Waiting[], refused: ReadonlySet<Waiting>): void {
    this.#isBusy = false
    if (this.#isClosed) return
    if (refused.size < batch.length) this.#parts.sent()
    if (refused.size === 0) {
      this.#backoff.reset()
      this.#publishNext()
      return
    }
    for (const { bytes } of refused) this.#bytes += bytes
    this.#waiting.unshift(...batch.filter(one => refused.has(one)))
    this.#bound()
    this.#expire()
    this.#retryLater()
  }

  #retryLater (): void {
    if (this.#waiting.length === 0) return
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => this.resume(), this.#backoff.next())
  }
}
