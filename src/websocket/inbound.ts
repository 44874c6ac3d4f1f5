import type { RawData, WebSocket } from 'ws'
import { closeCodes } from '../close-codes.js'
import type { Connection } from './connection.js'
import { errors } from '../errors.js'
import type { Options } from '../options/schema.js'
import { decodeFrame } from './protocol.js'

export interface InboundParts {
  limits: Options['limits']
  /** Finds the connection of the route that a socket has, while it is open. */
  connectionOf (socket: WebSocket): Connection | undefined
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
export class Inbound {
  readonly #parts: InboundParts

  constructor (parts: InboundParts) {
    this.#parts = parts
  }

  /** Handles what a client sends, and limits it. */
  listen ({ socket }: Connection): void {
    socket.on('message', this.#onMessage).on('ping', this.#onControl).on('pong', this.#onControl)
  }

  // One set of listeners serves all sockets, to save memory. `ws` calls them with the socket as `this`.

  readonly #onMessage = this.#listener((connection, data: RawData, isBinary: boolean) => this.#receive(connection, data as Buffer, isBinary))
  readonly #onControl = this.#listener(connection => this.#count(connection, 1))

  #listener<A extends unknown[]> (handle: (connection: Connection, ...args: A) => void): (this: WebSocket, ...args: A) => void {
    const connectionOf = (socket: WebSocket) => this.#parts.connectionOf(socket)
    return function (...args) {
      const connection = connectionOf(this)
      if (connection !== undefined) handle(connection, ...args)
    }
  }

  #receive (connection: Connection, bytes: Buffer, isBinary: boolean): void {
    const { limits: { frameBytes }, close } = this.#parts
    if (connection.acknowledges && !isBinary && bytes.length <= frameBytes) {
      this.#receiveFrame(connection, bytes)
      return
    }
    // What may not be sent at all is closed with a code of its own.
    const isWrong = isBinary || bytes.length > frameBytes
    this.#count(connection, isWrong ? 1 : costOf(bytes))
    if (!connection.isOpen) return
    if (isBinary) close(connection, closeCodes.unsupportedData, 'text only')
    // The limit of `ws` is larger if the application has registered @fastify/websocket.
    else if (bytes.length > frameBytes) close(connection, closeCodes.messageTooBig, 'frame too big')
  }

  /**
   * Handles a frame of a client that acknowledges. Acks count even while the connection is being closed: an
   * acknowledged notification need not be redelivered.
   */
  #receiveFrame (connection: Connection, bytes: Buffer): void {
    const { acknowledged, rejected } = this.#parts
    const frame = decodeFrame(bytes.toString())
    if (frame === undefined) {
      if (connection.isOpen) this.#refuse(connection, new errors.InvalidFrame(), 'invalid frame')
      else this.#count(connection, costOf(bytes))
      return
    }
    if (frame.type === 'ack') acknowledged(connection, frame.ids)
    else if (frame.type === 'nack') rejected(connection, frame.ids)
    else connection.tell({ type: 'pong' })
    if (frame.type === 'ping') this.#count(connection, costOf(bytes))
    else this.#count(connection, connection.spendCredit(Math.max(frame.ids.length, costOf(bytes))))
  }

  /** @param cost how many messages it is worth */
  #count (connection: Connection, cost: number): void {
    const { framesPerSecond } = this.#parts.limits
    if (connection.countInbound(cost) > framesPerSecond && cost > 0) this.#refuse(connection, new errors.TooManyFrames(framesPerSecond), 'too many frames')
  }

  #refuse (connection: Connection, { code, message }: Error & { code: string }, reason: string): void {
    connection.tell({ type: 'error', code, message })
    this.#parts.close(connection, closeCodes.policyViolation, reason)
    // The client has been told why. To read more from this client would take time from the others.
    connection.socket.pause()
  }
}

function costOf ({ length }: Buffer): number {
  return Math.max(1, Math.ceil(length / BYTES_PER_MESSAGE))
}
