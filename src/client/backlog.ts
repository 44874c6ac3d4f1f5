import type { Deadline } from './deadline.js'
import type { Received, ReceivedNotification } from './events.js'

/** The reason when a notification was not handled because its loop was left or the client ended. It is not an error. */
export const LEFT = Symbol('left')

/** There is no room for one more notification that waits. */
export class FullError extends Error {}

interface Entry<Content> {
  readonly notification: Received<Content>
  /** Whether others have it already, and only a loop is waited for. */
  readonly isTaken: boolean
  /** @param handled resolves when those who took it late are done */
  taken (handled?: Promise<void>): void
  left (reason: unknown): void
}

/** Hands the next entry to a loop that waits; undefined ends the loop. */
type Reader<Content> = (entry: Entry<Content> | undefined) => void

/**
 * The notifications that wait for a `for await` loop, or for anybody at all. Several loops share them: each notification
 * goes to one loop.
 */
export class Backlog<Content> {
  /** Maximum number of notifications. */
  limit: number
  #entries: Array<Entry<Content>> = []
  readonly #readers = new Set<Reader<Content>>()
  #loops = 0
  #open = false

  readonly #deadline: Deadline

  constructor (limit: number, deadline: Deadline) {
    this.limit = limit
    this.#deadline = deadline
  }

  /** Whether there is a loop. */
  get isRead (): boolean { return this.#loops > 0 }

  /**
   * Resolves when a loop has taken a notification and asked for the next; or when those are done who took it late.
   * @param isTaken whether others have it already
   * @throws LEFT if the loop was left instead, or the client ended; FullError if there is no room
   */
  async add (notification: Received<Content>, isTaken: boolean): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const entry = { notification, isTaken, taken: resolve, left: reject }
      const [reader] = this.#readers // a Set keeps the order of insertion
      if (reader !== undefined) this.#hand(reader, entry)
      else if (this.#entries.length < this.limit) this.#entries.push(entry)
      else reject(new FullError(`${this.limit} notifications wait: add a listener, or loop`))
    })
  }

  /**
   * Hands over what nobody has taken, the oldest first. Does nothing while there is a loop, which takes it.
   * @param take hands over one notification; undefined if nobody takes it any more
   */
  handOver (take: (notification: Received<Content>) => Promise<void> | undefined): void {
    for (let [oldest] = this.#entries; oldest !== undefined && !this.isRead; [oldest] = this.#entries) {
      const handled = take(oldest.notification)
      if (handled === undefined) return
      this.#entries.shift()
      oldest.taken(handled)
    }
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
        const stop = this.#deadline.start(entry.notification, entry.left)
        let reason: unknown = LEFT // stays if the loop is left by `break`, `return` or `throw`: then the line after `yield` does not run
        try {
          yield entry.notification
          reason = undefined
        } finally {
          stop()
          if (reason === undefined) entry.taken()
          else entry.left(reason)
        }
      }
    } finally {
      if (--this.#loops === 0) this.#releaseTaken()
    }
  }

  /** There is no loop any more: what others have taken need not wait for one. */
  #releaseTaken (): void {
    for (const { isTaken, taken } of this.#entries) if (isTaken) taken()
    this.#entries = this.#entries.filter(({ isTaken }) => !isTaken)
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
