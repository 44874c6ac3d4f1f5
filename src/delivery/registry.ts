import type { Subscriber } from './doors.js'

/** The connections to this instance, by user. A user may have any number of them. */
export class Registry<S extends Subscriber = Subscriber> {
  // The arrays are replaced, never changed. Most users have one connection: a Set for it would take more memory than
  // everything else here.
  readonly #byUser = new Map<string, readonly S[]>()
  #size = 0

  /** How many connections there are. */
  get size (): number {
    return this.#size
  }

  /** The connected users. */
  get users (): ReadonlyMap<string, readonly S[]> {
    return this.#byUser
  }

  /** A user's connections; empty if there are none. */
  of (userId: string): readonly S[] {
    return this.#byUser.get(userId) ?? NONE
  }

  add (subscriber: S): void {
    const { userId } = subscriber
    this.#byUser.set(userId, [...this.of(userId), subscriber])
    this.#size++
  }

  /** Removes a connection. Ignores an unknown one. */
  delete (subscriber: S): void {
    const { userId } = subscriber
    const subscribers = this.of(userId)
    if (!subscribers.includes(subscriber)) return
    if (subscribers.length === 1) this.#byUser.delete(userId)
    else this.#byUser.set(userId, subscribers.filter(other => other !== subscriber))
    this.#size--
  }
}

const NONE: readonly never[] = []
