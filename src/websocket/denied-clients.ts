import type { WebSocket } from 'ws'
import { closeCodes } from '../close-codes.js'
import { CLOSE_TIMEOUT } from './server.js'

/** Why a client is closed as soon as it was accepted. */
export interface Denial {
  readonly closeCode: number
  readonly reason: string
  /** The error that a client that can read it is answered with. */
  readonly error: Error & { readonly code?: string, readonly statusCode: number }
}

/** Statuses of 400 to 499 that don't mean "not allowed", but "later"; and that of a client that has gone. */
const TEMPORARY = [408, 425, 429, 499]

/** @returns undefined if an error of `authenticate` does not say that the client is not accepted */
export function denialOf (error: unknown): Denial | undefined {
  const { statusCode = 500 } = error as { statusCode?: number }
  if (statusCode < 400 || statusCode >= 500 || TEMPORARY.includes(statusCode)) return undefined
  const why = statusCode === 401
    ? { closeCode: closeCodes.unauthenticated, reason: 'not authenticated' }
    : { closeCode: closeCodes.forbidden, reason: 'not allowed' }
  return { ...why, error: error as Denial['error'] }
}

/**
 * Closes clients that were not accepted. A page sees no status of a refused upgrade, only a lost connection, and would try
 * again for ever. So a client of `notification.v1` is let in, and closed at once with a code that says why. It is never
 * registered, and nothing that it sends is looked at.
 */
export class DeniedClients {
  readonly #limit: number
  readonly #closing = new Set<WebSocket>()

  /** @param limit maximum number of sockets that may be closing. Others are refused by a status */
  constructor (limit: number) {
    this.#limit = limit
  }

  get hasRoom (): boolean {
    return this.#closing.size < this.#limit
  }

  close (socket: WebSocket, { closeCode, reason }: Denial): void {
    const terminate = () => socket.terminate()
    const timer = setTimeout(terminate, CLOSE_TIMEOUT)
    this.#closing.add(socket)
    socket
      .on('message', terminate).on('ping', terminate).on('pong', terminate)
      .on('close', () => {
        clearTimeout(timer)
        this.#closing.delete(socket)
      })
      .close(closeCode, reason)
  }
}
