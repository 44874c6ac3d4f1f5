import { once, EventEmitter } from 'node:events'
import type { WebSocket } from 'ws'
import type { Connection } from './connection.js'

/** What the sockets of the connections say. */
export interface SocketEvents {
  failed (connection: Connection, error: Error): void
  /** @param code of the client's close frame */
  closed (connection: Connection, code: number): void
}

/**
 * The connections whose socket has not closed yet. Those that are being closed are not in the registry any more. One set of
 * listeners serves all sockets: a set for each would take about 700 bytes.
 */
export class OpenConnections {
  readonly #events: SocketEvents
  /** An application may hand over one socket for several users. */
  readonly #bySocket = new Map<WebSocket, readonly Connection[]>()
  readonly #countByUser = new Map<string, number>()
  readonly #emptiness = new EventEmitter<{ empty: [] }>()
  #size = 0

  constructor (events: SocketEvents) {
    this.#events = events
  }

  get size (): number {
    return this.#size
  }

  /** How many connections of a user there are. */
  sizeOf (userId: string): number {
    return this.#countByUser.get(userId) ?? 0
  }

  /** The connections that a socket has. */
  of (socket: WebSocket): readonly Connection[] {
    return this.#bySocket.get(socket) ?? NONE
  }

  /** Bytes that wait for clients to read them. */
  get bufferedBytes (): number {
    let bytes = 0
    for (const { waitingBytes } of this) bytes += waitingBytes
    return bytes
  }

  /** Adds a connection, and listens to its socket. */
  add (connection: Connection): void {
    const { userId, socket } = connection
    const others = this.of(socket)
    this.#bySocket.set(socket, [...others, connection])
    this.#countByUser.set(userId, this.sizeOf(userId) + 1)
    this.#size++
    if (others.length === 0) socket.on('error', this.#onError).on('pong', this.#onPong).on('close', this.#onClose)
  }

  /**
   * Takes a connection out, and listens no more to its socket.
   * @returns whether the connection was there
   */
  delete (connection: Connection): boolean {
    const { userId, socket } = connection
    const connections = this.of(socket)
    if (!connections.includes(connection)) return false
    if (connections.length > 1) {
      this.#bySocket.set(socket, connections.filter(other => other !== connection))
    } else {
      this.#bySocket.delete(socket)
      socket.off('error', this.#onError).off('pong', this.#onPong).off('close', this.#onClose)
    }
    const rest = this.sizeOf(userId) - 1
    if (rest === 0) this.#countByUser.delete(userId)
    else this.#countByUser.set(userId, rest)
    this.#size--
    return true
  }

  /** Wakes whoever waits until there is no connection. To be called after each `delete`, when its hooks have run. */
  notifyIfEmpty (): void {
    if (this.size === 0) this.#emptiness.emit('empty')
  }

  /**
   * Waits until there is no connection.
   * @param timeout how long at most, in milliseconds
   */
  async waitUntilEmpty (timeout: number): Promise<void> {
    if (this.size === 0) return
    const signal = AbortSignal.timeout(Math.ceil(timeout)) // it takes whole milliseconds only
    await once(this.#emptiness, 'empty', { signal }).catch(() => {})
  }

  * [Symbol.iterator] (): IterableIterator<Connection> {
    for (const connections of this.#bySocket.values()) yield * connections
  }

  // `ws` calls a listener with the socket as `this`.

  readonly #onError = this.#listener((connection, error: Error) => this.#events.failed(connection, error))
  readonly #onPong = this.#listener((connection, payload: Buffer) => connection.receivePong(payload))
  readonly #onClose = this.#listener((connection, code: number) => this.#events.closed(connection, code))

  #listener<T> (handle: (connection: Connection, argument: T) => void): (this: WebSocket, argument: T) => void {
    const connectionsOf = (socket: WebSocket) => this.of(socket)
    return function (argument) {
      for (const connection of connectionsOf(this)) handle(connection, argument)
    }
  }
}

const NONE: readonly never[] = []
