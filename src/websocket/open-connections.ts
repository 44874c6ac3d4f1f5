import { once, EventEmitter } from 'node:events'
import type { Connection } from './connection.js'

/** Removes the plugin's listeners from a socket. */
export type Unlisten = () => void

/** The connections whose socket has not closed yet. Those that are being closed are not in the registry any more. */
export class OpenConnections {
  readonly #unlisten = new Map<Connection, Unlisten>()
  readonly #countByUser = new Map<string, number>()
  readonly #events = new EventEmitter<{ empty: [] }>()

  get size (): number {
    return this.#unlisten.size
  }

  /** How many connections of a user there are. */
  sizeOf (userId: string): number {
    return this.#countByUser.get(userId) ?? 0
  }

  /** Bytes that wait for clients to read them. */
  get bufferedBytes (): number {
    let bytes = 0
    for (const { waitingBytes } of this.#unlisten.keys()) bytes += waitingBytes
    return bytes
  }

  add (connection: Connection, unlisten: Unlisten): void {
    const { userId } = connection
    this.#unlisten.set(connection, unlisten)
    this.#countByUser.set(userId, this.sizeOf(userId) + 1)
  }

  /** Removes the plugin's listeners from the socket of a connection. */
  unlisten (connection: Connection): void {
    this.#unlisten.get(connection)?.()
  }

  /** @returns whether the connection was there */
  delete (connection: Connection): boolean {
    if (!this.#unlisten.delete(connection)) return false
    const { userId } = connection
    const rest = this.sizeOf(userId) - 1
    if (rest === 0) this.#countByUser.delete(userId)
    else this.#countByUser.set(userId, rest)
    return true
  }

  /** Wakes whoever waits until there is no connection. To be called after each `delete`, when its hooks have run. */
  notifyIfEmpty (): void {
    if (this.size === 0) this.#events.emit('empty')
  }

  /**
   * Waits until there is no connection.
   * @param timeout how long at most, in milliseconds
   */
  async waitUntilEmpty (timeout: number): Promise<void> {
    if (this.size === 0) return
    const signal = AbortSignal.timeout(Math.ceil(timeout)) // it takes whole milliseconds only
    await once(this.#events, 'empty', { signal }).catch(() => {})
  }

  [Symbol.iterator] (): IterableIterator<Connection> {
    return this.#unlisten.keys()
  }
}
