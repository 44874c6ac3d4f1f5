import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { WebSocket, WebSocketServer } from 'ws'
import { closeCodeOf, closeCodes } from '../close-codes.js'
import type { Groups } from '../delivery/groups.js'
import type { Registry } from '../delivery/registry.js'
import type { Options } from '../options/schema.js'
import { Teardown } from '../teardown.js'
import { Admission } from './admission.js'
import { assertOpen } from './assert-open.js'
import { Backlog } from './backlog.js'
import { inBatches } from './close-batches.js'
import { CloseHandshakes } from './close-handshakes.js'
import { Connection, type ConnectionRules } from './connection.js'
import { isMeant, type Disconnect } from './disconnect.js'
import { Heartbeat } from './heartbeat.js'
import { OpenConnections } from './open-connections.js'
import { CLOSE_TIMEOUT } from './server.js'
import { createWelcome } from './protocol.js'
import { Memberships } from './memberships.js'
import { RecentDisconnects } from './recent-disconnects.js'
import type { SocketHooks } from './socket-hooks.js'
import { WriteBatcher } from './write-batcher.js'

/** How many times `limits.upgradeTimeout` an upgrade takes at most: two calls of the application, and its own hooks. */
const MAX_UPGRADES = 4

export interface OpenOptions {
  /** The upgrade request, for the log. */
  readonly request?: FastifyRequest | undefined
  /** When the user's credentials expire, in milliseconds since 1970. */
  readonly expiresAt?: number
  /** The groups that the connection is in from its welcome on. */
  readonly groups?: readonly string[]
  /** For a `disconnect()` of this session alone. */
  readonly sessionId?: string | undefined
  /** Whether only the plugin writes to the socket. */
  readonly isOwn: boolean
  /** When the upgrade came, by `performance.now()`: a `disconnect()` since then holds for this connection too. */
  readonly begunAt?: number
}

export interface SocketsParts {
  options: Options
  registry: Registry<Connection>
  groups: Groups<Connection>
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
  readonly #open = new OpenConnections({
    failed: (connection, error) => this.#failed(connection, error),
    closed: (connection, code) => this.#closed(connection, code)
  })

  readonly #backlog: Backlog
  readonly #writeBatcher = new WriteBatcher(bytes => this.#backlog.written(bytes))
  readonly #handshakes = new CloseHandshakes(CLOSE_TIMEOUT)
  readonly #disconnects: RecentDisconnects
  #isShuttingDown = false

  constructor (parts: SocketsParts) {
    const { options, registry, groups, hooks } = this.#parts = parts
    const { bufferedBytes, totalBufferedBytes } = options.limits
    // In a microtask, as below.
    this.#backlog = new Backlog(totalBufferedBytes, this.#open, connection => queueMicrotask(() => this.#end(connection)))
    this.#disconnects = new RecentDisconnects(MAX_UPGRADES * options.limits.upgradeTimeout)
    this.#rules = {
      heedsAcks: options.dismiss || options.settle === 'acknowledged',
      bufferedBytes,
      written: bytes => this.#backlog.written(bytes),
      // In a microtask: the delivery must not lose a connection while it hands out a notification.
      onSlow: connection => queueMicrotask(() => this.close(connection, closeCodes.slowConsumer, 'too slow'))
    }
    const memberships = new Memberships({ groups, maximum: options.limits.groupsPerConnection, opening: hooks.groupOpening, left: hooks.groupLeft })
    this.#admission = new Admission({
      registry,
      memberships,
      opening: hooks.opening,
      left: hooks.left,
      admitted: connection => {
        connection.tell(createWelcome(connection.id, options))
        hooks.opened(connection)
      }
    })
    this.#heartbeat = new Heartbeat({
      ...options.heartbeat,
      onSilent: connection => this.close(connection, closeCodes.noPong, 'no pong'),
      onExpired: connection => this.close(connection, closeCodes.expired, 'credentials expired'),
      onTick: () => this.#handshakes.terminateOverdue()
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

  /** The connection of the plugin's route that a socket has, while it is open. The application may have registered others for it. */
  connectionOf (socket: WebSocket): Connection | undefined {
    return this.#open.of(socket).find(({ isOwn }) => isOwn)
  }

  /**
   * Sends a user's notifications to a socket, until it closes.
   * @throws FST_NOTIFICATION_INVALID_SOCKET
   */
  open (userId: string, socket: WebSocket, { request, expiresAt = Infinity, groups = [], sessionId, isOwn, begunAt = Infinity }: OpenOptions): Connection {
    assertOpen(socket)
    const registered = this.find(userId, socket)
    if (registered !== undefined) return registered

    const { server, log, hooks } = this.#parts
    const connection = new Connection(userId, socket, expiresAt, this.#rules, isOwn ? this.#writeBatcher : undefined, sessionId)
    this.#open.add(connection)
    this.#heartbeat.add(connection)
    hooks.connected?.()
    // On shutdown @fastify/websocket closes all `clients` at once and without a code. `closeAll` closes ours instead.
    // There are no `clients` if the application has set `clientTracking: false`.
    server.clients?.delete(socket)
    log.info({ connectionId: connection.id, userId, ...(request && { reqId: request.id, remoteAddress: request.ip }) }, 'client connected')
    hooks.recorded?.(connection, 'connected')
    const disconnect = this.#disconnects.since(connection, begunAt)
    if (disconnect !== undefined) this.close(connection, disconnect.code, disconnect.reason)
    else this.#admission.enter(connection, groups)
    if (this.#isShuttingDown) this.close(connection, closeCodes.goingAway, 'server shutting down')
    return connection
  }

  /** Gives a socket back to the application, and leaves it open. */
  release (connection: Connection): void {
    const { server, hooks } = this.#parts
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
    this.#stopSending(connection)
    connection.close(code, reason)
    return true
  }

  /** Ends a connection whose client does not read. A close frame would wait, like everything else, for the client to read it. */
  #end (connection: Connection): void {
    this.close(connection, closeCodes.slowConsumer, 'too slow')
    connection.socket.terminate()
  }

  /**
   * Puts the connections that a user has now into a group.
   * @returns how many there are, and when peers can reach the group here
   * @throws FST_NOTIFICATION_TOO_MANY_GROUPS; then nothing has changed
   */
  join (userId: string, group: string): ReturnType<Admission['join']> {
    return this.#admission.join(userId, group)
  }

  /** Takes a user's connections out of a group, and returns how many the user has. */
  leave (userId: string, group: string): number {
    const count = this.#admission.leaveGroup(userId, group)
    this.#parts.hooks.leftGroup(userId)
    return count
  }

  /** Closes connections of a user, also those that are still on their way in, and returns how many were open. */
  disconnect (userId: string, disconnect: Disconnect): number {
    this.#disconnects.add(userId, disconnect)
    const { code, reason } = disconnect
    return this.#admission.of(userId).filter(connection => isMeant(connection, disconnect) && this.close(connection, code, reason)).length
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

  #failed (connection: Connection, err: Error): void {
    this.#stopSending(connection) // `ws` has begun to close the socket
    connection.closeCode ??= closeCodeOf(err)
    this.#parts.log.debug({ connectionId: connection.id, userId: connection.userId, err }, 'client connection failed')
  }

  #closed (connection: Connection, code: number): void {
    const { log, hooks } = this.#parts
    this.#forget(connection)
    hooks.closed?.(connection.closeCode ?? code)
    hooks.recorded?.(connection, 'disconnected', code)
    log.info({ connectionId: connection.id, userId: connection.userId, code }, 'client disconnected')
  }

  /** The socket of a connection is being closed: nothing more is sent to it. */
  #stopSending (connection: Connection): void {
    this.#admission.leave(connection)
    // On shutdown acks count until the socket has closed. What is still unacknowledged then goes back to the queue.
    if (!this.#isShuttingDown) this.#parts.hooks.ended(connection)
    this.#handshakes.begin(connection)
  }

  /** The socket of a connection has closed, or belongs to the application again. */
  #forget (connection: Connection): void {
    if (!this.#open.delete(connection)) return
    this.#handshakes.end(connection)
    this.#heartbeat.delete(connection)
    this.#admission.leave(connection)
    this.#parts.hooks.ended(connection)
    this.#open.notifyIfEmpty()
  }
}
