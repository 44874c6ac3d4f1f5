import type { Outcome, Result } from './outcome.js'
import type { Payload } from './payload.js'

/** Maximum users that a message names: for whom it is, or for whom it is not. */
export const MAX_NAMED = 1_000

/** Approximate bytes of memory of each user whose outcome a message to many waits for. */
export const USER_BYTES = 1_200

/** Whom a message to many is for. */
export type Audience = NamedUsers | Connected

/** Users who are named. For each of them the option `offline` holds. */
export interface NamedUsers {
  readonly userIds: ReadonlySet<string>
}

/** The members of a group who are connected, or everybody who is. */
export interface Connected {
  /** undefined for everybody. */
  readonly group: string | undefined
  /** Users who don't get it. */
  readonly except: ReadonlySet<string>
}

/** One payload for many users. */
export class Multicast {
  constructor (readonly audience: Audience, readonly payload: Payload) {}
}

/** What became of a multicast. */
export interface Summary {
  /** How many users it was for. */
  readonly users: number
  /** How many connections it was handed to. */
  readonly connections: number
  /** How many users had which outcome. */
  readonly outcomes: Readonly<Partial<Record<Outcome, number>>>
}

/** Counts the outcomes of a multicast. */
export class Tally implements Summary {
  users = 0
  connections = 0
  readonly outcomes: Partial<Record<Outcome, number>> = {}

  /** Counts the outcome of one user. */
  count ({ outcome, connections }: Result): void {
    this.users++
    this.connections += connections
    this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + 1
  }

  /** Counts what a peer tells. */
  add ({ users, connections, outcomes }: Summary): void {
    this.users += users
    this.connections += connections
    for (const [outcome, count] of Object.entries(outcomes) as Array<[Outcome, number]>) this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + count
  }
}

/** The outcome that all users had; `mixed` if they had several, and `nobody` if there were none. */
export function outcomeOf ({ outcomes }: Summary): Outcome | 'mixed' | 'nobody' {
  const [first = 'nobody', ...others] = Object.keys(outcomes) as Outcome[]
  return others.length > 0 ? 'mixed' : first
}

/** Adds up what became of a multicast in several places. */
export function sum (summaries: readonly Summary[]): Summary {
  const tally = new Tally()
  for (const summary of summaries) tally.add(summary)
  return tally
}
