import type { ReceivedNotification } from './events.js'

/** The reason when a notification was not handled because its loop was left or the client ended. It is not an error. */
export const LEFT = Symbol('left')

interface Entry<Content> {
  readonly notification: ReceivedNotification<Content>
  taken (): void
  left (reason: unknown): void
}

/** Hands the next entry to a loop that waits; undefined ends the loop. */
type Reader<Content> = (entry: Entry<Content> | undefined) => void

/** The notifications that wait for a `for await` loop. Several loops share them: each notification goes to one loop. */
export class Backlog<Content> {
  #entries: Array<Entry<Content>> = []
  readonly #readers = new Set<Reader<Content>>()
  #loops = 0
  #open = false

  constructor (private readonly limit: number) {}

  /** Whether there is a loop. */
  get isRead (): boolean { return this.#loops > 0 }

  /**
   * Resolves when a loop has taken a notification and asked for the next.
   * @throws LEFT if the loop was left instead, or the client ended
   */
  async add (notification: ReceivedNotification<Content>): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const entry = { notification, taken: resolve, left: reject }
      const [reader] = this.#readers // a Set keeps the order of insertion
      if (reader !== undefined) this.#hand(reader, entry)
      else if (this.#entries.length < this.limit) this.#entries.push(entry)
      else reject(new Error(`${this.limit} notifications wait: give onNotification, add a listener, or loop`))
    })
  }

  /** Removes a notification that is no longer wanted. */
  remove (id: string): void {
    const index = this.#entries.findIndex(({ notification }) => notification.id === id)
    if (index !== -1) this.#entries.splice(index, 1)[0]!.left(LEFT)
  }

  /**
   * Starts a loop. If the loop is left while it waits, it ends at once. A plain generator would first wait for one more
   * notification, and hand it over.
   */
  read (): AsyncGenerator<ReceivedNotification<Content>, void, undefined> {
    let waiting: Reader<Content> | undefined
    const loop = this.#loop(reader => { waiting = reader })
    const end = loop.return.bind(loop)
    loop.return = async value => {
      if (waiting !== undefined) this.#hand(waiting, undefined)
      return await end(value)
    }
    return loop
  }

  open (): void {
    this.#open = true
  }

  /** Ends the loops. */
  end (): void {
    this.#open = false
    for (const reader of this.#readers) this.#hand(reader, undefined)
    for (const { left } of this.#entries) left(LEFT)
    this.#entries = []
  }

  async * #loop (waits: (reader: Reader<Content>) => void): AsyncGenerator<ReceivedNotification<Content>, void, undefined> {
    this.#loops++
    try {
      for (let entry = await this.#next(waits); entry !== undefined; entry = await this.#next(waits)) {
        let reason: unknown = LEFT // stays if the loop is left by `break`, `return` or `throw`: then the line after `yield` does not run
        try {
          yield entry.notification
          reason = undefined
        } finally {
          if (reason === undefined) entry.taken()
          else entry.left(reason)
        }
      }
    } finally {
      this.#loops--
    }
  }

  async #next (waits: (reader: Reader<Content>) => void): Promise<Entry<Content> | undefined> {
    if (!this.#open) return undefined
    return this.#entries.shift() ?? await new Promise(resolve => {
      this.#readers.add(resolve)
      waits(resolve)
    })
  }

  #hand (reader: Reader<Content>, entry: Entry<Content> | undefined): void {
    this.#readers.delete(reader)
    reader(entry)
  }
}
