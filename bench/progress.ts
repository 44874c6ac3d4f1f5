/** Says what the bench is doing, and how long it will still take. */
export class Progress {
  readonly #names: readonly string[]
  readonly #rounds: number
  readonly #log: (line: string) => void
  #beganAt = 0
  /** How long each workload has taken for each round, here or the last time. */
  readonly secondsPerRound: Record<string, number>

  /** @param earlier how long each workload took the last time, for each round */
  constructor (names: readonly string[], rounds: number, earlier: Record<string, number>, log: (line: string) => void) {
    this.#names = names
    this.#rounds = rounds
    this.secondsPerRound = { ...earlier }
    this.#log = log
  }

  begin (name: string): void {
    const position = this.#names.indexOf(name)
    this.#beganAt = performance.now()
    this.#log(`# ${name}, ${position + 1} of ${this.#names.length}: ${this.#timeLeft(this.#names.slice(position))}`)
  }

  end (name: string): void {
    this.secondsPerRound[name] = Math.round((performance.now() - this.#beganAt) / 1_000 / this.#rounds * 10) / 10
  }

  #timeLeft (names: readonly string[]): string {
    const known = names.flatMap(name => this.secondsPerRound[name] ?? [])
    if (known.length === 0) return 'nobody has measured yet how long it takes'
    // Those that were never measured are assumed to take as long as the others.
    const seconds = known.reduce((sum, each) => sum + each, 0) / known.length * names.length * this.#rounds
    return seconds < 90 ? `about ${Math.ceil(seconds)} s to go` : `about ${Math.ceil(seconds / 60)} min to go`
  }
}
