import type { Connection } from './connection.js'

/** When the limit is exceeded, connections are closed until this share of it is left, so that it is not exceeded again at once. */
const TARGET = 0.75

/** Minimum share of the limit that is written between two counts, so that counting costs little where much waits. */
const MIN_INTERVAL = 1 / 16

/**
 * Bounds the bytes that wait for all clients together. Counting them takes time for each connection. So they are counted
 * only when so much has been written since the last count that the limit could be exceeded.
 */
export class Backlog {
  readonly #limit: number
  readonly #connections: Iterable<Connection>
  readonly #tooMuch: (connection: Connection) => void
  /** How many bytes may be written before the next count. */
  #headroom: number

  /**
   * @param limit in bytes
   * @param connections every connection whose socket has not closed yet
   * @param tooMuch ends a connection at once, with all that waits for its client
   */
  constructor (limit: number, connections: Iterable<Connection>, tooMuch: (connection: Connection) => void) {
    this.#limit = this.#headroom = limit
    this.#connections = connections
    this.#tooMuch = tooMuch
  }

  /** Bytes have been written to sockets. */
  written (bytes: number): void {
    this.#headroom -= bytes
    if (this.#headroom < 0) this.#count()
  }

  #count (): void {
    const waiting = Array.from(this.#connections, connection => ({ connection, bytes: connection.waitingBytes })).filter(({ bytes }) => bytes > 0)
    let total = waiting.reduce((sum, { bytes }) => sum + bytes, 0)
    if (total > this.#limit) {
      for (const { connection, bytes } of waiting.sort((a, b) => b.bytes - a.bytes)) {
        if (total <= this.#limit * TARGET) break
        total -= bytes
        this.#tooMuch(connection)
      }
    }
    this.#headroom = Math.max(this.#limit - total, this.#limit * MIN_INTERVAL)
  }
}
