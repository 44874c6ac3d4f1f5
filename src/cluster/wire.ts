/** The key that reaches the inboxes of all instances. */
export const EVERYBODY = ''

/** What became of a publish: in at least one inbox; in none, as the inbox is gone; or unknown. */
export type Published = 'routed' | 'returned' | 'unknown'

/** Everything that the cluster needs of the world: the broker, a clock, and the end of the turn. */
export interface Wire {
  /**
   * Publishes a frame.
   * @param to an inbox, or {@link EVERYBODY}
   * @param done is called once; at once with `unknown` while the broker takes no publishes
   */
  publish (to: string, frame: string, done: (published: Published) => void): void
  /** Whether frames can be published: `blocked` if the broker takes none because of an alarm. */
  readonly state: 'open' | 'blocked' | 'closed'
  /** A monotonic clock, in milliseconds. */
  now (): number
  /** Runs a function at the end of this turn of the event loop. */
  defer (run: () => void): void
  /** Runs a function after so many milliseconds. */
  later (milliseconds: number, run: () => void): void
  /** Opens another inbox, because the bindings of this one are lost. */
  reopen (): void
}
