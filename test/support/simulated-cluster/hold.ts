// A hold that several instances share, in memory. A test decides when a call arrives there, and when its answer arrives.
import type { Held, HoldStore } from '../../../src/delivery/doors.js'
import type { MemoryStore } from '../core.js'

/** The connection of one instance to the hold: calls arrive in order, and so do their answers. */
export class HoldConnection implements HoldStore {
  readonly isShared = true
  readonly #store: MemoryStore
  /** What is on its way to the hold, and to the instance. */
  readonly #calls: Array<() => void> = []
  readonly #answers: Array<() => void> = []

  constructor (store: MemoryStore) {
    this.#store = store
  }

  async add (userId: string, held: Held): Promise<string[] | 'known'> {
    return await this.#call(async () => await this.#store.add(userId, held))
  }

  async read (userId: string, after: Pick<Held, 'position' | 'id'> | undefined, limit: number): Promise<Held[]> {
    return await this.#call(async () => await this.#store.read(userId, after, limit))
  }

  async remove (userId: string, ids: readonly string[]): Promise<string[]> {
    return await this.#call(async () => await this.#store.remove(userId, ids))
  }

  /** What can happen next. */
  steps (): Array<() => void> {
    return [this.#calls, this.#answers].filter(({ length }) => length > 0).map(waiting => () => waiting.shift()!())
  }

  /** Lets everything arrive that is on its way. */
  async close (): Promise<void> {
    for (let steps = this.steps(); steps.length > 0; steps = this.steps()) {
      for (const step of steps) step()
      await new Promise(resolve => { setImmediate(resolve) })
    }
  }

  async #call<Result> (call: () => Promise<Result>): Promise<Result> {
    await new Promise<void>(resolve => this.#calls.push(resolve))
    const result = await call()
    await new Promise<void>(resolve => this.#answers.push(resolve))
    return result
  }
}
