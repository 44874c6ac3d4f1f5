/**
 * A text that the garbage collector may take, because it can be made again. A WeakRef can't hold a string, so it holds an
 * object that does.
 */
export class WeakText {
  #kept: WeakRef<{ readonly text: string }>
  readonly #make: () => string

  /** @param make makes the same text again */
  constructor (text: string, make: () => string) {
    this.#kept = new WeakRef({ text })
    this.#make = make
  }

  read (): string {
    let kept = this.#kept.deref()
    if (kept === undefined) this.#kept = new WeakRef(kept = { text: this.#make() })
    return kept.text
  }
}
