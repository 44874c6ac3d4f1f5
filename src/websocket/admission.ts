import type { WebSocket } from 'ws'
import type { Registry } from '../delivery/registry.js'
import type { Connection } from './connection.js'

export interface AdmissionParts {
  registry: Registry<Connection>
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

  /** Adds a connection to the registry, now or when peers can reach its user. */
  enter (connection: Connection): void {
    const reachable = this.#parts.opening?.(connection.userId)
    if (reachable === undefined) return this.#admit(connection)
    this.#wait(connection)
    reachable.then(() => { if (this.#stopWaiting(connection)) this.#admit(connection) })
  }

  /** Takes a connection out. Calling this again does no harm. */
  leave (connection: Connection): void {
    const { registry, left } = this.#parts
    const { userId } = connection
    registry.delete(connection)
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
