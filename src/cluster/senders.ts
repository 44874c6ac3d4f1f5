/** How long answers are kept at least, in receipt time-outs. By then, whoever has got no answer has sent it again. */
export const KEPT_TIMEOUTS = 3

/** What is known of one instance that sends. */
interface Sender {
  /** Forgets what is old. */
  tick (now: number): void
  /** Whether nothing is left that must be known. */
  readonly isEmpty: boolean
}

/** What is known of the other instances that send something here, until nothing is left that must be known. */
export class Senders<S extends Sender> {
  readonly #byInstance = new Map<string, S>()
  readonly #create: (period: number, now: number) => S
  readonly #now: () => number
  readonly #period: number

  /** @param create is given how long answers must be kept, in milliseconds, and the time */
  constructor ({ receiptTimeout, now }: { receiptTimeout: number, now (): number }, create: (period: number, now: number) => S) {
    this.#create = create
    this.#now = now
    this.#period = KEPT_TIMEOUTS * receiptTimeout
  }

  /** What is known of an instance; undefined if there is nothing. */
  get (instance: string): S | undefined {
    return this.#byInstance.get(instance)
  }

  /** The same, and begins to keep something if there is nothing. */
  open (instance: string): S {
    let sender = this.#byInstance.get(instance)
    if (sender === undefined) this.#byInstance.set(instance, sender = this.#create(this.#period, this.#now()))
    return sender
  }

  /** Forgets what is old. To be called ten times a second. */
  tick (): void {
    const now = this.#now()
    for (const [instance, sender] of this.#byInstance) {
      sender.tick(now)
      if (sender.isEmpty) this.#byInstance.delete(instance)
    }
  }

  clear (): void {
    this.#byInstance.clear()
  }
}
