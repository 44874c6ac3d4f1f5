/** What has something to be written at the end of a turn. */
export interface Gathered {
  flush (): void
}

/**
 * Lets what is to be written in one turn of the event loop be written together, at its end.
 *
 * A write is a system call, most of what a notification costs: several for one connection cost little more than one
 * (0.6 to 2.7 µs each instead of 8.7).
 */
export class Gathering {
  private waiting: Gathered[] = []

  /** @param gathered to be flushed once, at the end of this turn */
  add (gathered: Gathered): void {
    if (this.waiting.push(gathered) === 1) setImmediate(this.flush)
  }

  private readonly flush = (): void => {
    const { waiting } = this
    this.waiting = []
    for (const gathered of waiting) gathered.flush()
  }
}
