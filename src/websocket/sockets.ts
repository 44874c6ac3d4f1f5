import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { WebSocket, WebSocketServer } from 'ws'
import { closeCodeOf, closeCodes } from '../close-codes.js'
import { describeValue } from '../delivery/notification.js'
import type { Registry } from '../delivery/registry.js'
import { errors } from '../errors.js'
import type { Options } from '../options/schema.js'
import { Teardown } from '../teardown.js'
import { Admission } from './admission.js'
import { inBatches } from './close-batches.js'
import { Connection, type ConnectionRules } from './connection.js'
import { Heartbeat } from './heartbeat.js'
import { OpenConnections, type Unlisten } from './open-connections.js'
import { CLOSE_TIMEOUT } from './server.js'
import type { SocketHooks } from './socket-hooks.js'
import { WriteBatcher } from './write-batcher.js'

export interface OpenOptions {
  /** The upgrade request, for the log. */
  readonly request?: FastifyRequest | undefined
  /** When the user's credentials expire, in milliseconds since 1970. */
  readonly expiresAt?: number
  /** Whether only the plugin writes to the socket. */
  readonly isOwn: boolean
}

export interface SocketsParts {
  options: Options
  registry: Registry<Connection>
  /** The WebSocket server of @fastify/websocket. */
  server: WebSocketServer
  log: FastifyBaseLogger
  hooks: SocketHooks
}

/** Opens, keeps and closes the connections of this instance. */
export class Sockets {
  readonly #parts: SocketsParts
  readonly #rules: ConnectionRules
  readonly #admission: Admission
  readonly #heartbeat: Heartbeat
  readonly #writeBatcher = new WriteBatcher()
  readonly #open = new OpenConnections()
  /** Connections that wait for the client's close frame, with the time at which they are terminated; the oldest first. */
  readonly #closing = new Map<Connection, number>()
  #isShuttingDown = false

  constructor (parts: SocketsParts) {
    const { options, registry, hooks } = this.#parts = parts
    this.#rules = {
      bufferedBytes: options.limits.bufferedBytes,
      // In a microtask: the delivery must not lose a connection while it hands out a notification.
      onSlow: connection => queueMicrotask(() => this.close(connection, closeCodes.slowConsumer, 'too slow'))
    }
    this.#admission = new Admission({
      registry,
      opening: hooks.opening,
      left: hooks.left,
      admitted: connection => {
        connection.tell({ type: 'welcome', connectionId: connection.id, heartbeatMs: options.heartbeat.interval })
        hooks.opened(connection)
      }
    })
    this.#heartbeat = new Heartbeat({
      ...options.heartbeat,
      onSilent: connection => this.close(connection, closeCodes.noPong, 'no pong'),
      onExpired: connection => this.close(connection, closeCodes.expired, 'credentials expired'),
      onTick: () => {
        this.#terminateOverdue()
        hooks.tick()
      }
    })
  }

  /** How many sockets have not closed yet. A socket that is being closed still takes up its place. */
  get size (): number {
    return this.#open.size
  }

  /** How many sockets of a user have not closed yet. */
  sizeOf (userId: string): number {
    return this.#open.sizeOf(userId)
  }

  /** Bytes that wait for clients to read them. */
  get bufferedBytes (): number {
    return this.#open.bufferedBytes
  }

  /** Finds the connection of a user that has this socket. */
  find (userId: string, socket: WebSocket): Connection | undefined {
    return this.#admission.find(userId, socket)
  }

  /**
   * Sends a user's notifications to a socket, until it closes.
   * @throws FST_NOTIFICATION_INVALID_SOCKET
   */
  open (userId: string, socket: WebSocket, { request, expiresAt = Infinity, isOwn }: OpenOptions): Connection {
    assertOpen(socket)
    const registered = this.find(userId, socket)
    if (registered !== undefined) return registered

    const { server, log, hooks } = this.#parts
    const connection = new Connection(userId, socket, expiresAt, this.#rules, isOwn ? this.#writeBatcher : undefined)
    this.#open.add(connection, this.#listen(connection))
    this.#heartbeat.add(connection)
    hooks.connected?.()
    // On shutdown @fastify/websocket closes all `clients` at once and without a code. `closeAll` closes ours instead.
    // There are no `clients` if the application has set `clientTracking: false`.
    server.clients?.delete(socket)
    log.info({ connectionId: connection.id, userId, ...(request && { reqId: request.id, remoteAddress: request.ip }) }, 'client connected')
    hooks.recorded?.(connection, 'connected')
    this.#admission.enter(connection)
    if (this.#isShuttingDown) this.close(connection, closeCodes.goingAway, 'server shutting down')
    return connection
  }

  /** Gives a socket back to the application, and leaves it open. */
  release (connection: Connection): void {
    const { server, hooks } = this.#parts
    this.#open.unlisten(connection)
    this.#forget(connection)
    hooks.closed?.('released')
    hooks.recorded?.(connection, 'disconnected')
    server.clients?.add(connection.socket)
  }

  /**
   * Closes a connection: sends it nothing more, and terminates its socket if the client doesn't answer.
   * @returns false if the connection was already closing
   */
  close (connection: Connection, code: number, reason: string): boolean {
    if (!connection.isOpen) return false
    this.#parts.hooks.recorded?.(connection, 'closing', code)
    this.#leave(connection)
    connection.close(code, reason)
    return true
  }

  /** Closes every connection of a user, and returns how many. */
  disconnect (userId: string, code: number, reason: string): number {
    return this.#admission.of(userId).filter(connection => this.close(connection, code, reason)).length
  }

  /**
   * Closes every connection, in batches, and terminates the sockets whose clients don't answer.
   * @param timeout how long that may take, in milliseconds
   */
  async closeAll (timeout: number): Promise<void> {
    this.#isShuttingDown = true
    const teardown = new Teardown(this.#parts.log)
    const deadline = performance.now() + timeout
    for await (const batch of inBatches([...this.#open], timeout / 2)) {
      await Promise.all(batch.map(connection => teardown.try(() => this.close(connection, closeCodes.goingAway, 'server shutting down'))))
    }
    await this.#open.waitUntilEmpty(Math.max(0, Math.min(CLOSE_TIMEOUT, deadline - performance.now())))
    await Promise.all(Array.from(this.#open, ({ socket }) => teardown.try(() => socket.terminate())))
    teardown.end()
  }

  #listen (connection: Connection): Unlisten {
    const { log, hooks } = this.#parts
    const { socket } = connection
    const onError = (err: Error) => {
      this.#leave(connection) // `ws` has begun to close the socket
      connection.closeCode ??= closeCodeOf(err)
      log.debug({ connectionId: connection.id, userId: connection.userId, err }, 'client connection failed')
    }
    const onPong = () => { connection.awaitsPong = false }
    const onClose = (code: number) => {
      this.#forget(connection)
      hooks.closed?.(connection.closeCode ?? code)
      hooks.recorded?.(connection, 'disconnected', code)
      log.info({ connectionId: connection.id, userId: connection.userId, code }, 'client disconnected')
    }
    socket.on('error', onError).on('pong', onPong).once('close', onClose)
    return () => socket.off('error', onError).off('pong', onPong).off('close', onClose)
  }

  /** The socket of a connection is being closed: nothing more is sent to it. */
  #leave (connection: Connection): void {
    this.#admission.leave(connection)
    // On shutdown acks count until the socket has closed. What is still unacknowledged then goes back to the queue.
    if (!this.#isShuttingDown) this.#parts.hooks.ended(connection)
    if (!this.#closing.has(connection)) this.#closing.set(connection, performance.now() + CLOSE_TIMEOUT)
  }

  /** The socket of a connection has closed, or belongs to the application again. */
  #forget (connection: Connection): void {
    if (!this.#open.delete(connection)) return
    this.#closing.delete(connection)
    this.#heartbeat.delete(connection)
    this.#admission.leave(connection)
    this.#parts.hooks.ended(connection)
    this.#open.notifyIfEmpty()
  }

  /** Terminates the sockets whose clients have not answered the close frame in time. */
  #terminateOverdue (): void {
    const now = performance.now()
    for (const [{ socket }, deadline] of this.#closing) {
      if (deadline > now) return
      socket.terminate()
    }
  }
}

/** @throws FST_NOTIFICATION_INVALID_SOCKET */
function assertOpen (socket: WebSocket): void {
  const { readyState, OPEN, send, on } = (socket ?? {}) as Partial<WebSocket>
  if (typeof send !== 'function' || typeof on !== 'function') throw new errors.InvalidSocket(describeValue(socket))
  if (readyState !== OPEN) throw new errors.InvalidSocket('one that is closing or closed')
}
