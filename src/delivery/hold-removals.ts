import type { HoldStore } from './doors.js'

/** How long to wait after a failure, in milliseconds. */
const RETRY = 1_000

/** Maximum ids in one call: each is an argument of a function, and the stack holds only some tens of thousands. */
const MAX_IDS = 1_000

/** Removes settled notifications from the hold, in one batch per turn of the event loop. Retries until it succeeds. */
export class HoldRemovals {
  /** Settled ids that may still be in the store, by user. The value is `isLate` of {@link add}. */
  readonly #settled = new Map<string, Map<string, boolean>>()
  /** The ids that the next batch removes, by user. */
  #due = new Map<string, string[]>()
  readonly #running = new Set<Promise<void>>()
  #scheduled: NodeJS.Immediate | undefined
  #retry: NodeJS.Timeout | undefined

  /** @param settledLate called when the store had a notification that was acknowledged late */
  constructor (readonly store: HoldStore, readonly settledLate: (userId: string, id: string) => void) {}

  /** @param isLate whether a client acknowledged a notification that is not in flight */
  add (userId: string, id: string, isLate: boolean): void {
    const ids = this.#settled.get(userId)
    if (ids === undefined) this.#settled.set(userId, new Map([[id, isLate]]))
    else if (ids.has(id)) return
    else ids.set(id, isLate)
    this.#enqueue(userId, [id])
    this.#scheduled ??= setImmediate(this.#start)
  }

  /** A user's settled ids that the store may still return. */
  of (userId: string): Iterable<string> {
    return this.#settled.get(userId)?.keys() ?? []
  }

  /** Tries once more to remove everything. A notification that can't be removed will be delivered again. */
  async flush (): Promise<void> {
    this.#start()
    await Promise.all(this.#running)
    clearTimeout(this.#retry)
  }

  readonly #start = (): void => {
    clearImmediate(this.#scheduled)
    clearTimeout(this.#retry)
    this.#scheduled = this.#retry = undefined
    const due = this.#due
    this.#due = new Map()
    for (const [userId, ids] of due) {
      for (let from = 0; from < ids.length; from += MAX_IDS) {
        const removal = this.#remove(userId, ids.slice(from, from + MAX_IDS)).finally(() => this.#running.delete(removal))
        this.#running.add(removal)
      }
    }
  }

  async #remove (userId: string, ids: string[]): Promise<void> {
    const ofUser = this.#settled.get(userId)!
    try {
      for (const id of await this.store.remove(userId, ids)) if (ofUser.get(id)) this.settledLate(userId, id)
    } catch {
      this.#enqueue(userId, ids) // the store reports its own failures
      this.#retry ??= setTimeout(this.#start, RETRY)
      return
    }
    for (const id of ids) ofUser.delete(id)
    if (ofUser.size === 0) this.#settled.delete(userId)
  }

  #enqueue (userId: string, ids: string[]): void {
    const queued = this.#due.get(userId)
    if (queued === undefined) this.#due.set(userId, ids)
    else queued.push(...ids)
  }
}
