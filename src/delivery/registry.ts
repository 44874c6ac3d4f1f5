import type { Subscriber } from './doors.js'

/** Who is connected to this instance: user → connections, any number for each. */
export class Registry<S extends Subscriber = Subscriber> {
  // Arrays that are never changed but replaced: most users have one connection, for which a set would take more memory
  // than everything else here.
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

  /** A user's connections; none is no error. */
  of (userId: string): readonly S[] {
    return this.#byUser.get(userId) ?? NONE
  }

  add (subscriber: S): void {
    const { userId } = subscriber
    this.#byUser.set(userId, [...this.of(userId), subscriber])
    this.#size++
  }

  /** Takes a connection out; one that is not there is ignored. */
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
