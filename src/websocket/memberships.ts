import type { FastifyBaseLogger } from 'fastify'
import type { Groups } from '../delivery/groups.js'
import { errors } from '../errors.js'
import type { Connection } from './connection.js'

export interface MembershipsParts {
  groups: Groups<Connection>
  /** Maximum groups of a connection. */
  maximum: number
  /**
   * A group gets a connection. With `cluster: true`, peers must know that it has one here.
   * @returns resolves when they do; undefined if they do already
   */
  opening: ((group: string) => Promise<void> | undefined) | undefined
  /** A group has no connection here any more. */
  left: ((group: string) => void) | undefined
}

/** Which connections are in which groups. Those that wait for their admission get nothing yet, but peers must know of them. */
export class Memberships {
  readonly #parts: MembershipsParts
  /** The groups of each connection that is in one. */
  readonly #groups = new Map<Connection, Set<string>>()
  /** How many connections each group has, those that wait included. */
  readonly #counts = new Map<string, number>()

  constructor (parts: MembershipsParts) {
    this.#parts = parts
  }

  /**
   * Checks that a connection may be in one more group.
   * @throws FST_NOTIFICATION_TOO_MANY_GROUPS
   */
  assertRoom (connection: Connection, group: string): void {
    const { maximum } = this.#parts
    const groups = this.#groups.get(connection)
    if (groups !== undefined && groups.size >= maximum && !groups.has(group)) throw new errors.TooManyGroups(maximum)
  }

  /**
   * Puts a connection into a group.
   * @param isAdmitted whether the connection gets what is for the group from now on; else from its admission on
   * @returns resolves when peers know that the group has a connection here; undefined if they do already
   */
  join (connection: Connection, group: string, isAdmitted: boolean): Promise<void> | undefined {
    let groups = this.#groups.get(connection)
    if (groups === undefined) this.#groups.set(connection, groups = new Set())
    if (!groups.has(group)) {
      groups.add(group)
      this.#counts.set(group, (this.#counts.get(group) ?? 0) + 1)
      if (isAdmitted) this.#parts.groups.add(connection, group)
    }
    return this.#parts.opening?.(group)
  }

  /** A connection gets what is for its groups from now on. */
  admit (connection: Connection): void {
    for (const group of this.#groups.get(connection) ?? []) this.#parts.groups.add(connection, group)
  }

  /** Takes a connection out of a group. */
  leave (connection: Connection, group: string): void {
    const groups = this.#groups.get(connection)
    if (groups === undefined || !groups.delete(group)) return
    if (groups.size === 0) this.#groups.delete(connection)
    this.#parts.groups.delete(connection, group)
    const count = this.#counts.get(group)! - 1
    if (count > 0) {
      this.#counts.set(group, count)
    } else {
      this.#counts.delete(group)
      this.#parts.left?.(group)
    }
  }

  /** Takes a connection out of all its groups. Calling this again does no harm. */
  end (connection: Connection): void {
    for (const group of [...this.#groups.get(connection) ?? []]) this.leave(connection, group)
  }
}

/** Changes the groups of a user's connections here as a peer was told to. Never fails: nobody here has asked for it. */
export function changeGroup (sockets: { join (userId: string, group: string): unknown, leave (userId: string, group: string): unknown }, { userId, group, joins }: { userId: string, group: string, joins: boolean }, log: FastifyBaseLogger): void {
  try {
    if (joins) sockets.join(userId, group)
    else sockets.leave(userId, group)
  } catch (error) {
    log.warn({ userId, code: (error as { code?: string }).code }, 'group not joined')
  }
}
