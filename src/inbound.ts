import type { RawData } from 'ws'
import { closeCodes } from './close-codes.js'
import type { Connection } from './connection.js'
import type { Options } from './options.js'

/**
 * Holds a client to what it may send: little. Text is taken, as some send it to keep a connection open, and ignored.
 * @param close closes the connection with a code and a reason
 */
export function policeInbound (
  connection: Connection,
  { frameBytes, framesPerSecond }: Options['limits'],
  close: (connection: Connection, code: number, reason: string) => unknown
): void {
  let second = 0
  let frames = 0

  function count (): void {
    const now = Math.floor(Date.now() / 1_000)
    if (now !== second) {
      second = now
      frames = 0
    }
    if (++frames <= framesPerSecond) return
    close(connection, closeCodes.policyViolation, 'too many frames')
    // It has been told. To read what else it sends would be at the cost of the others.
    connection.socket.pause()
  }

  function onMessage (data: RawData, isBinary: boolean): void {
    count()
    if (!connection.isOpen) return
    if (isBinary) close(connection, closeCodes.unsupportedData, 'text only')
    // The server's own limit is larger where the application has registered @fastify/websocket.
    else if ((data as Buffer).length > frameBytes) close(connection, closeCodes.messageTooBig, 'frame too big')
  }

  connection.socket.on('message', onMessage).on('ping', count).on('pong', count)
}
