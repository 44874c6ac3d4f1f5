/**
 * The outcome of a notification:
 * - `acknowledged`: a client acknowledged it
 * - `sent`: it was handed to a socket
 * - `held`: it is kept until the user connects
 * - `offline`: it was dropped, because its user has no connection
 * - `dead-lettered`: it is in the dead-letter queue
 */
export type Outcome = 'acknowledged' | 'sent' | 'held' | 'offline' | 'dead-lettered'

/** The outcome of a notification, and how many connections had it. */
export interface Result {
  readonly outcome: Outcome
  /** How many connections the notification was handed to. */
  readonly connections: number
}
