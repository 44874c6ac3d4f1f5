import type { WebSocket } from 'ws'
import type { Registry } from '../delivery/registry.js'
import type { Connection } from './connection.js'
import type { Memberships } from './memberships.js'

export interface AdmissionParts {
  registry: Registry<Connection>
  memberships: Memberships
  /**
   * A user gets a connection. With `cluster: true`, peers must be able to reach the user here first.
   * @returns resolves when they can; undefined if they can already
   */
  opening: ((userId: string) => Promise<void> | undefined) | undefined
  /** A user has no connection here any more, neither in the registry nor waiting for it. */
  left: ((userId: string) => void) | undefined
  /** A connection has been added to the registry. */
  admitted (connection: Connection): void
}

/** Adds connections to the registry, each as soon as peers can reach its user here, and removes them again. */
export class Admission {
  readonly #parts: AdmissionParts
  /** Connections that are not in the registry yet, by user. */
  readonly #waiting = new Map<string, Set<Connection>>()

  constructor (parts: AdmissionParts) {
    this.#parts = parts
  }

  /** Adds a connection to the registry and to its groups, now or when peers can reach its user and the groups here. */
  enter (connection: Connection, groups: readonly string[]): void {
    const { opening, memberships } = this.#parts
    const reachable = groups.map(group => memberships.join(connection, group, false))
    reachable.push(opening?.(connection.userId))
    if (reachable.every(reached => reached === undefined)) return this.#admit(connection)
    this.#wait(connection)
    void Promise.all(reachable).then(() => { if (this.#stopWaiting(connection)) this.#admit(connection) })
  }

  /**
   * Puts the connections that a user has now into a group.
   * @returns how many there are, and when peers can reach the group here
   * @throws FST_NOTIFICATION_TOO_MANY_GROUPS; then nothing has changed
   */
  join (userId: string, group: string): { readonly count: number, readonly reachable: Promise<unknown> } {
    const { registry, memberships } = this.#parts
    const connections = this.of(userId)
    for (const connection of connections) memberships.assertRoom(connection, group)
    const admitted = registry.of(userId)
    const reachable = connections.map(connection => memberships.join(connection, group, admitted.includes(connection)))
    return { count: connections.length, reachable: Promise.all(reachable) }
  }

  /** Takes a user's connections out of a group, and returns how many the user has. */
  leaveGroup (userId: string, group: string): number {
    const connections = this.of(userId)
    for (const connection of connections) this.#parts.memberships.leave(connection, group)
    return connections.length
  }

  /** Takes a connection out. Calling this again does no harm. */
  leave (connection: Connection): void {
    const { registry, memberships, left } = this.#parts
    const { userId } = connection
    registry.delete(connection)
    memberships.end(connection)
    this.#stopWaiting(connection)
    if (registry.of(userId).length === 0 && !this.#waiting.has(userId)) left?.(userId)
  }

  /** A user's connections, those that wait included. */
  of (userId: string): Connection[] {
    return [...this.#parts.registry.of(userId), ...this.#waiting.get(userId) ?? []]
  }

  /** Finds the connection of a user that has this socket. */
  find (userId: string, socket: WebSocket): Connection | undefined {
    return this.of(userId).find(connection => connection.socket === socket)
  }

  #admit (connection: Connection): void {
    this.#parts.registry.add(connection)
    this.#parts.memberships.admit(connection)
    this.#parts.admitted(connection)
  }

  #wait (connection: Connection): void {
    const { userId } = connection
    const waiting = this.#waiting.get(userId)
    if (waiting === undefined) this.#waiting.set(userId, new Set([connection]))
    else waiting.add(connection)
  }

  /** @returns whether the connection was waiting */
  #stopWaiting (connection: Connection): boolean {
    const { userId } = connection
    const waiting = this.#waiting.get(userId)
    if (waiting === undefined || !waiting.delete(connection)) return false
    if (waiting.size === 0) this.#waiting.delete(userId)
    return true
  }
}
