import type { Connection } from './connection.js'

/** The connections that wait for the client's close frame. Each is terminated if that does not come in time. */
export class CloseHandshakes {
  /** When each is terminated, in milliseconds of the monotonic clock; the oldest first. */
  readonly #deadlines = new Map<Connection, number>()
  readonly #timeout: number

  /** @param timeout how long a client may take to answer a close frame, in milliseconds */
  constructor (timeout: number) {
    this.#timeout = timeout
  }

  /** A connection begins to close. */
  begin (connection: Connection): void {
    if (!this.#deadlines.has(connection)) this.#deadlines.set(connection, performance.now() + this.#timeout)
  }

  /** A connection has closed, or closes no more. */
  end (connection: Connection): void {
    this.#deadlines.delete(connection)
  }

  /** Terminates the sockets whose clients have not answered in time. To be called about once a second. */
  terminateOverdue (): void {
    const now = performance.now()
    for (const [{ socket }, deadline] of this.#deadlines) {
      if (deadline > now) return
      socket.terminate()
    }
  }
}
