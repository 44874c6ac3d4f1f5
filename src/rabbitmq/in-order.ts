/** Runs steps in the order in which they were added, even if what they need comes later. */
export class InOrder {
  /** Resolves when the last step has run; undefined if no step waits. */
  #last: Promise<void> | undefined

  /**
   * Runs a step when its value is there and every earlier step has run. It does not wait for what earlier steps return.
   * @returns what the step returns: at once if nothing has to be waited for
   */
  run<T> (value: T | Promise<T>, step: (value: T) => unknown): unknown {
    if (this.#last === undefined && !(value instanceof Promise)) return step(value)
    let result: unknown
    const ran = Promise.all([value, this.#last]).then(([value]) => { result = step(value) })
    const last = this.#last = ran.catch(() => {}).then(() => {
      if (this.#last === last) this.#last = undefined
    })
    return ran.then(() => result)
  }
}
