import type { RawData } from 'ws'
import { closeCodes } from '../close-codes.js'
import type { Connection } from './connection.js'
import { errors } from '../errors.js'
import type { Options } from '../options/schema.js'
import { decodeAck } from './protocol.js'

export interface InboundParts {
  limits: Options['limits']
  /** A client has acknowledged notifications. */
  acknowledged (connection: Connection, ids: readonly string[]): void
  /** Closes the connection with a code and a reason. */
  close (connection: Connection, code: number, reason: string): unknown
}

/**
 * Limits what a client may send: one ack frame for each notification, and little else. Text from a plain client is
 * accepted and ignored, because some clients send text to keep a connection open.
 */
export function policeInbound (connection: Connection, { limits, acknowledged, close }: InboundParts): void {
  const { frameBytes, framesPerSecond } = limits
  let second = 0
  let frames = 0

  function refuse ({ code, message }: Error & { code: string }, reason: string): void {
    connection.tell({ type: 'error', code, message })
    close(connection, closeCodes.policyViolation, reason)
    // The client has been told why. To read more from this client would take time from the others.
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
    // The limit of `ws` is larger if the application has registered @fastify/websocket.
    else if (bytes.length > frameBytes) close(connection, closeCodes.messageTooBig, 'frame too big')
  }

  /**
   * Handles a frame of a client that acknowledges. Acks count even while the connection is being closed: an
   * acknowledged notification need not be redelivered.
   */
  function onFrame (text: string): void {
    const ids = decodeAck(text)
    if (ids !== undefined) acknowledged(connection, ids)
    if (ids === undefined && connection.isOpen) refuse(new errors.InvalidFrame(), 'invalid frame')
    else if (!connection.spendCredit()) count()
  }

  connection.socket.on('message', onMessage).on('ping', count).on('pong', count)
}
