import { randomUUID } from 'node:crypto'
import type { WebSocket } from 'ws'

/** One WebSocket of one user. */
export class Connection {
  readonly id = randomUUID()
  readonly since = new Date()

  constructor (readonly userId: string, readonly socket: WebSocket) {}

  /**
   * Hands a text to the socket.
   * @returns false where the socket is no longer open
   */
  send (text: string): boolean {
    if (this.socket.readyState !== this.socket.OPEN) return false
    this.socket.send(text)
    return true
  }

  /**
   * Closes the socket with a code of the table and a reason of at most 123 bytes (RFC 6455 §5.5).
   */
  close (code: number, reason: string): void {
    this.socket.close(code, reason)
  }
}
