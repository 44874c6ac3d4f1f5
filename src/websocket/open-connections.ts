import { once, EventEmitter } from 'node:events'
import type { WebSocket } from 'ws'
import type { Connection } from './connection.js'

/** What the sockets of the connections say. */
export interface SocketEvents {
  failed (connection: Connection, error: Error): void
  /** @param code of the client's close frame */
  closed (connection: Connection, code: number): void
}

/** The plugin's listeners on a socket. */
interface Listeners {
  error (this: WebSocket, error: Error): void
  pong (this: WebSocket, payload: Buffer): void
  close (this: WebSocket, code: number): void
}

/** The connections whose socket has not closed yet. Those that are being closed are not in the registry any more. */
export class OpenConnections {
  readonly #events: SocketEvents
  /** An application may hand over one socket for several users. */
  readonly #bySocket = new Map<WebSocket, readonly Connection[]>()
  /** They serve all sockets of the plugin's route, to save memory: `ws` calls a listener with the socket as `this`. */
  readonly #shared: Listeners
  /** What `register()` is given may be a proxy: then `this` is the socket behind it. */
  readonly #individual = new Map<WebSocket, Listeners>()
  readonly #countByUser = new Map<string, number>()
  readonly #emptiness = new EventEmitter<{ empty: [] }>()
  #size = 0

  constructor (events: SocketEvents) {
    this.#events = events
    this.#shared = this.#createListeners(socket => this.of(socket))
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
    if (others.length > 0) return
    let listeners = this.#shared
    if (!connection.isOwn) this.#individual.set(socket, listeners = this.#createListeners(() => this.of(socket)))
    for (const [event, listener] of Object.entries(listeners)) socket.on(event, listener)
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
      for (const [event, listener] of Object.entries(this.#individual.get(socket) ?? this.#shared)) socket.off(event, listener)
      this.#individual.delete(socket)
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

  #createListeners (connectionsOf: (socket: WebSocket) => readonly Connection[]): Listeners {
    const events = this.#events
    return {
      error (error) { for (const connection of connectionsOf(this)) events.failed(connection, error) },
      pong (payload) { for (const connection of connectionsOf(this)) connection.receivePong(payload) },
      close (code) { for (const connection of connectionsOf(this)) events.closed(connection, code) }
    }
  }
}

const NONE: readonly never[] = []
