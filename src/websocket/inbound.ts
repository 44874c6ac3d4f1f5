import type { RawData } from 'ws'
import { closeCodes } from '../close-codes.js'
import type { Connection } from './connection.js'
import { errors } from '../errors.js'
import type { Options } from '../options/schema.js'
import { decodeAck } from './protocol.js'

export interface InboundParts {
  limits: Options['limits']
  /** A client says what it has. */
  acknowledged (connection: Connection, ids: readonly string[]): void
  /** Closes the connection with a code and a reason. */
  close (connection: Connection, code: number, reason: string): unknown
}

/**
 * Holds a client to what it may send: an ack frame for each notification, and little else. Text of one that speaks no
 * subprotocol is taken, as some send it to keep a connection open, and ignored.
 */
export function policeInbound (connection: Connection, { limits, acknowledged, close }: InboundParts): void {
  const { frameBytes, framesPerSecond } = limits
  let second = 0
  let frames = 0

  function refuse ({ code, message }: Error & { code: string }, reason: string): void {
    connection.tell({ type: 'error', code, message })
    close(connection, closeCodes.policyViolation, reason)
    // It has been told. To read what else it sends would be at the cost of the others.
    connection.socket.pause()
  }

  function count (): void {
    const now = Math.floor(performance.now() / 1_000)
    if (now !== second) {
      second = now
      frames = 0
    }
    if (++frames > framesPerSecond) refuse(new errors.TooManyFrames(framesPerSecond), 'too many frames')
  }

  function onMessage (data: RawData, isBinary: boolean): void {
    const bytes = data as Buffer
    if (connection.acknowledges && !isBinary && bytes.length <= frameBytes) {
      onFrame(bytes.toString())
      return
    }
    count()
    if (!connection.isOpen) return
    if (isBinary) close(connection, closeCodes.unsupportedData, 'text only')
    // The server's own limit is larger where the application has registered @fastify/websocket.
    else if (bytes.length > frameBytes) close(connection, closeCodes.messageTooBig, 'frame too big')
  }

  /** Of a connection that is being closed too: what it acknowledges need not come again. */
  function onFrame (text: string): void {
    const ids = decodeAck(text)
    if (ids !== undefined) acknowledged(connection, ids)
    if (ids === undefined && connection.isOpen) refuse(new errors.InvalidFrame(), 'invalid frame')
    else if (!connection.spendCredit()) count()
  }

  connection.socket.on('message', onMessage).on('ping', count).on('pong', count)
}
