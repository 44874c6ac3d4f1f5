/** Which of the numbers 0, 1, 2, … have been seen, in little memory where they come roughly in order. */
export class Ledger {
  #below = 0
  readonly #ahead = new Set<number>()
  duplicates = 0

  add (number: number): void {
    if (number < this.#below || this.#ahead.has(number)) {
      this.duplicates++
      return
    }
    this.#ahead.add(number)
    while (this.#ahead.delete(this.#below)) this.#below++
  }

  has (number: number): boolean {
    return number < this.#below || this.#ahead.has(number)
  }
}
