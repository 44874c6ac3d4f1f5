import type { RawData } from 'ws'
import { closeCodes } from '../close-codes.js'
import type { Connection } from './connection.js'
import { errors } from '../errors.js'
import type { Options } from '../options/schema.js'
import { decodeFrame } from './protocol.js'

export interface InboundParts {
  limits: Options['limits']
  /** A client has acknowledged notifications. */
  acknowledged (connection: Connection, ids: readonly string[]): void
  /** A client could not handle notifications. */
  rejected (connection: Connection, ids: readonly string[]): void
  /** Closes the connection with a code and a reason. */
  close (connection: Connection, code: number, reason: string): unknown
}

/** Bytes of a frame that count as one message. The longest id takes less, escaped too. */
const BYTES_PER_MESSAGE = 2_048

/**
 * Limits what a client may send: one ack or nack for each notification, a ping, and little else. It is counted in ids and
 * in bytes, so that a frame of many ids costs as much as many frames of one. Text from a plain client is accepted and
 * ignored, because some clients send text to keep a connection open.
 */
export function policeInbound (connection: Connection, { limits, acknowledged, rejected, close }: InboundParts): void {
  const { frameBytes, framesPerSecond } = limits
  let second = 0
  let messages = 0

  function refuse ({ code, message }: Error & { code: string }, reason: string): void {
    connection.tell({ type: 'error', code, message })
    close(connection, closeCodes.policyViolation, reason)
    // The client has been told why. To read more from this client would take time from the others.
    connection.socket.pause()
  }

  /** @param cost how many messages it is worth */
  function count (cost: number): void {
    const now = Math.floor(performance.now() / 1_000)
    if (now !== second) {
      second = now
      messages = 0
    }
    messages += cost
    if (messages > framesPerSecond && cost > 0) refuse(new errors.TooManyFrames(framesPerSecond), 'too many frames')
  }

  const countOne = () => count(1)

  function onMessage (data: RawData, isBinary: boolean): void {
    const bytes = data as Buffer
    if (connection.acknowledges && !isBinary && bytes.length <= frameBytes) {
      onFrame(bytes)
      return
    }
    // What may not be sent at all is closed with a code of its own.
    const isWrong = isBinary || bytes.length > frameBytes
    count(isWrong ? 1 : costOf(bytes))
    if (!connection.isOpen) return
    if (isBinary) close(connection, closeCodes.unsupportedData, 'text only')
    // The limit of `ws` is larger if the application has registered @fastify/websocket.
    else if (bytes.length > frameBytes) close(connection, closeCodes.messageTooBig, 'frame too big')
  }

  /**
   * Handles a frame of a client that acknowledges. Acks count even while the connection is being closed: an
   * acknowledged notification need not be redelivered.
   */
  function onFrame (bytes: Buffer): void {
    const frame = decodeFrame(bytes.toString())
    if (frame === undefined) {
      if (connection.isOpen) refuse(new errors.InvalidFrame(), 'invalid frame')
      else count(costOf(bytes))
      return
    }
    if (frame.type === 'ack') acknowledged(connection, frame.ids)
    else if (frame.type === 'nack') rejected(connection, frame.ids)
    else connection.tell({ type: 'pong' })
    if (frame.type === 'ping') count(costOf(bytes))
    else count(connection.spendCredit(Math.max(frame.ids.length, costOf(bytes))))
  }

  connection.socket.on('message', onMessage).on('ping', countOne).on('pong', countOne)
}

function costOf ({ length }: Buffer): number {
  return Math.max(1, Math.ceil(length / BYTES_PER_MESSAGE))
}
