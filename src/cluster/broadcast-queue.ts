import { Backoff, type BackoffOptions } from '../backoff.js'

/** How many broadcasts may wait, and how many bytes of them. A single one may exceed the bytes. */
const MAX_COUNT = 1_000
const MAX_BYTES = 16_777_216

/**
 * How long a broadcast may wait, in milliseconds. It is for those who are connected when it is made, and a lost
 * connection to the broker is opened again in less.
 */
const MAX_AGE = 60_000

/** How many broadcasts are published before the broker has to confirm them, and how many bytes. */
const MAX_BATCH_COUNT = 100
const MAX_BATCH_BYTES = 1_048_576

/** Called with whether the broker has taken the publish. */
type Answered = (isTaken: boolean) => void

export interface BroadcastQueueParts {
  /** The waits between tries while the broker takes no publishes. */
  reconnect: BackoffOptions
  /** Asks whether the broker takes publishes now. */
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
  /** When it is given up, by the clock of the queue. */
  readonly until: number
}

/**
 * Broadcasts for the other instances, in order. While the broker takes no publishes they wait; where they are too many,
 * or have waited too long, the oldest are given up.
 *
 * Before each batch the broker is asked whether it takes publishes, by a publish that reaches nobody. An alarm is noticed
 * at the first publish only, and what was written to the connection by then goes out when the alarm is over, however old.
 */
export class BroadcastQueue {
  readonly #parts: BroadcastQueueParts
  readonly #now: () => number
  readonly #backoff: Backoff
  readonly #waiting: Waiting[] = []
  #bytes = 0
  /** Whether the broker has been asked something, and has not answered yet. */
  #isBusy = false
  #retry: NodeJS.Timeout | undefined
  #expiry: NodeJS.Timeout | undefined
  #isClosed = false

  constructor (parts: BroadcastQueueParts) {
    this.#parts = parts
    this.#now = parts.now ?? (() => performance.now())
    this.#backoff = new Backoff(parts.reconnect)
  }

  /** Publishes a broadcast as soon as the broker takes it. */
  add (body: string): void {
    if (this.#isClosed) return
    const bytes = Buffer.byteLength(body)
    this.#waiting.push({ body, bytes, until: this.#now() + MAX_AGE })
    this.#bytes += bytes
    this.#bound()
    this.#expire()
    if (this.#retry === undefined) this.#publishNext()
  }

  /** The broker takes publishes, perhaps: tries at once. */
  resume (): void {
    clearTimeout(this.#retry)
    this.#retry = undefined
    this.#publishNext()
  }

  /** Publishes what waits, and forgets it. */
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

  /** Gives up what has waited too long, and looks again when the next one will have. */
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

  /** All of a batch is answered. */
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
