import { steadyNow } from '../clock.js'
import type { Dismissals } from '../delivery/doors.js'
import { appendTo } from '../lists.js'

/** Maximum number of ids that are remembered for each user. */
export const MAX_DISMISSED = 100

/** Maximum number of ids of all users together: about 20 MB. */
const MAX_TOTAL = 100_000

/** Remembers in this process what users' clients have acknowledged. */
export class MemoryDismissals implements Dismissals {
  readonly #maxAge: number
  readonly #now: () => number
  /** When each id was acknowledged, the oldest first, by user; the user whose newest id is the oldest comes first. */
  readonly #byUser = new Map<string, Map<string, number>>()
  #size = 0

  /**
   * @param maxAge how long an id is remembered, in milliseconds
   * @param now in milliseconds
   */
  constructor (maxAge: number, now: () => number = steadyNow) {
    this.#maxAge = maxAge
    this.#now = now
  }

  add (userId: string, id: string): void {
    const ids = this.#byUser.get(userId) ?? new Map<string, number>()
    this.#byUser.delete(userId) // so that it becomes the newest entry
    this.#byUser.set(userId, ids)
    this.#forget(ids, id)
    ids.set(id, this.#now())
    this.#size++
    if (ids.size > MAX_DISMISSED) this.#forget(ids, ids.keys().next().value!)
    while (this.#size > MAX_TOTAL) this.#forgetOldestUser()
  }

  async read (userId: string): Promise<string[]> {
    const since = this.#now() - this.#maxAge
    return Array.from(this.#byUser.get(userId) ?? []).flatMap(([id, at]) => at > since ? [id] : [])
  }

  #forget (ids: Map<string, number>, id: string): void {
    if (ids.delete(id)) this.#size--
  }

  #forgetOldestUser (): void {
    const [userId, ids] = this.#byUser.entries().next().value!
    this.#byUser.delete(userId)
    this.#size -= ids.size
  }
}

/** Reads and writes ids in Redis. */
export interface RemoteDismissals {
  add (userId: string, ids: readonly string[]): Promise<unknown>
  read (userId: string): Promise<readonly string[]>
}

/**
 * Remembers in Redis what users' clients have acknowledged, for all instances; with one call for each user and turn of the
 * event loop. While Redis can't be reached, nothing is remembered: then a device goes on showing what it shows.
 */
export class SharedDismissals implements Dismissals {
  readonly #remote: RemoteDismissals
  #due = new Map<string, string[]>()

  constructor (remote: RemoteDismissals) {
    this.#remote = remote
  }

  add (userId: string, id: string): void {
    if (this.#due.size === 0) setImmediate(() => this.#send())
    appendTo(this.#due, userId, id)
  }

  async read (userId: string): Promise<readonly string[]> {
    return await this.#remote.read(userId).catch(() => [])
  }

  #send (): void {
    const due = this.#due
    this.#due = new Map()
    for (const [userId, ids] of due) this.#remote.add(userId, ids.slice(-MAX_DISMISSED)).catch(() => {})
  }
}
