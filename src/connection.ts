import { randomUUID } from 'node:crypto'
import type { WebSocket } from 'ws'

/** What all connections have in common. */
export interface ConnectionRules {
  /** Bytes that may wait for a client to read them. */
  readonly bufferedBytes: number
  /** More than that wait. */
  onSlow (connection: Connection): void
}

/** One WebSocket of one user. */
export class Connection {
  readonly id = randomUUID()
  /** Whether it has been pinged and has not answered. */
  awaitsPong = false

  /** @param expiresAt when its user's credentials expire, in milliseconds since 1970 */
  constructor (
    readonly userId: string,
    readonly socket: WebSocket,
    readonly expiresAt: number,
    private readonly rules: ConnectionRules
  ) {}

  get isOpen (): boolean {
    return this.socket.readyState === this.socket.OPEN
  }

  /**
   * Hands a text to the socket.
   * @returns false where the socket is no longer open, the credentials have expired, or the client is too slow
   */
  send (text: string): boolean {
    if (!this.isOpen) return false
    if (this.expiresAt !== Infinity && this.expiresAt <= Date.now()) return false
    if (this.socket.bufferedAmount > this.rules.bufferedBytes) {
      this.rules.onSlow(this)
      return false
    }
    this.socket.send(text)
    return true
  }

  /** Asks the client whether it is still there. */
  ping (): void {
    if (!this.isOpen) return
    this.awaitsPong = true
    this.socket.ping()
  }

  /** Closes the socket with a code of the table and a reason of at most 123 bytes (RFC 6455 §5.5). */
  close (code: number, reason: string): void {
    this.socket.close(code, reason)
  }
}
