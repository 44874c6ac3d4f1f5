import { Registry } from './registry.js'
import type { Members, Subscriber } from './doors.js'

const NOBODY: Members = new Registry()

/** The connections of each group. A group exists while it has one. */
export class Groups<S extends Subscriber = Subscriber> {
  readonly #byName = new Map<string, Registry<S>>()

  /** The connections of a group. */
  of (group: string): Members {
    return this.#byName.get(group) ?? NOBODY
  }

  add (subscriber: S, group: string): void {
    let members = this.#byName.get(group)
    if (members === undefined) this.#byName.set(group, members = new Registry())
    members.add(subscriber)
  }

  /** Ignores a connection that is not in the group. */
  delete (subscriber: S, group: string): void {
    const members = this.#byName.get(group)
    members?.delete(subscriber)
    if (members?.size === 0) this.#byName.delete(group)
  }
}
