import { once, EventEmitter } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { WebSocket, WebSocketServer } from 'ws'
import { closeCodeOf, closeCodes } from '../close-codes.js'
import { Connection, type ConnectionRules } from './connection.js'
import { errors } from '../errors.js'
import { Gathering } from './write-batcher.js'
import { createHeartbeat } from './heartbeat.js'
import { describeValue } from '../delivery/notification.js'
import type { Options } from '../options/schema.js'
import type { Registry } from '../delivery/registry.js'
import { Teardown } from '../teardown.js'

/** At shutdown so many sockets are closed each so many milliseconds: 10,000 clients come back over 5 s, not in one instant. */
const CLOSE_BATCH = 100
const CLOSE_INTERVAL = 50

/** How long a client gets to answer a close frame, in milliseconds. */
const CLOSE_GRACE = 2_000

/** A message from a client may have so many fragments: it is small, and not each frame of it is counted. */
const MAX_FRAGMENTS = 16

/** How the WebSocket server is set up where the plugin registers it. */
export function serverOptions ({ limits }: Options) {
  return { maxPayload: limits.frameBytes, maxFragments: MAX_FRAGMENTS, closeTimeout: CLOSE_GRACE }
}

export interface OpenOptions {
  /** For the log. */
  readonly request?: FastifyRequest | undefined
  /** When the user's credentials expire, in milliseconds since 1970. */
  readonly expiresAt?: number
  /** Whether nobody else writes to the socket. */
  readonly isOwn: boolean
}

/** What is told of the connections. */
export interface SocketHooks {
  /** A user gets a connection: undefined, or resolves when it can be in the registry. */
  opening?: ((userId: string) => Promise<void> | undefined) | undefined
  /** A user has no connection left, in the registry or on the way to it. */
  left?: ((userId: string) => void) | undefined
  /** A connection begins. */
  connected?: (() => void) | undefined
  /** One has ended, with which code, or it is the application's again. */
  closed?: ((code: number | 'released') => void) | undefined
  /** It is in the registry. */
  opened (connection: Connection): void
  /** It has left the registry; may be told again. */
  ended (connection: Connection): void
  /** For who looks on: a socket was opened, is being closed by us, has ended; or, without a code, is the application's again. */
  noted?: ((connection: Connection, event: 'connected' | 'closing' | 'disconnected', code?: number) => void) | undefined
  /** Called about once a second, as long as there is one. */
  tick (): void
}

/** Takes the listeners off a socket. */
type Unlisten = () => void

export type Sockets = ReturnType<typeof createSockets>

interface SocketsParts {
  options: Options
  registry: Registry<Connection>
  /** The WebSocket server of @fastify/websocket. */
  server: WebSocketServer
  log: FastifyBaseLogger
  hooks: SocketHooks
}

/** The lives of the sockets: opened into the registry, kept, closed out of it, all closed at the end. */
export function createSockets ({ options, registry, server, log, hooks }: SocketsParts) {
  /** Those whose socket has not ended yet, though they may have left the registry. */
  const open = new Map<Connection, Unlisten>()
  /** Those that have been sent a close frame, and when they are ended if they don't answer; the oldest first. */
  const ending = new Map<Connection, number>()
  /** Those that are not in the registry yet, by user. */
  const pending = new Map<string, Set<Connection>>()
  /** How many sockets of a user have not ended yet. */
  const ofUser = new Map<string, number>()
  const events = new EventEmitter<{ empty: [] }>()
  const gathering = new Gathering()
  let closing = false

  const rules: ConnectionRules = {
    bufferedBytes: options.limits.bufferedBytes,
    // Not while something is being handed out, which its end would change.
    onSlow: connection => queueMicrotask(() => close(connection, closeCodes.slowConsumer, 'too slow'))
  }
  const heartbeat = createHeartbeat({
    ...options.heartbeat,
    onSilent: connection => close(connection, closeCodes.noPong, 'no pong'),
    onExpired: connection => close(connection, closeCodes.expired, 'credentials expired'),
    onTick () {
      endSilent()
      hooks.tick()
    }
  })

  function endSilent (): void {
    const now = performance.now()
    for (const [{ socket }, at] of ending) {
      if (at > now) return
      socket.terminate()
    }
  }

  function forget (connection: Connection): void {
    if (!open.delete(connection)) return
    const rest = ofUser.get(connection.userId)! - 1
    if (rest === 0) ofUser.delete(connection.userId)
    else ofUser.set(connection.userId, rest)
    ending.delete(connection)
    heartbeat.delete(connection)
    leave(connection)
    hooks.ended(connection)
    if (open.size === 0) events.emit('empty')
  }

  function leave (connection: Connection): void {
    const { userId } = connection
    registry.delete(connection)
    unpend(connection)
    if (registry.of(userId).length === 0 && !pending.has(userId)) hooks.left?.(userId)
  }

  /** @returns whether it was on the way to the registry */
  function unpend (connection: Connection): boolean {
    const { userId } = connection
    const others = pending.get(userId)
    if (others === undefined || !others.delete(connection)) return false
    if (others.size === 0) pending.delete(userId)
    return true
  }

  function pend (connection: Connection): void {
    const { userId } = connection
    const others = pending.get(userId)
    if (others === undefined) pending.set(userId, new Set([connection]))
    else others.add(connection)
  }

  function end (connection: Connection): void {
    leave(connection)
    // At the end what it acknowledges until it is closed counts: the rest goes back to the queue.
    if (!closing) hooks.ended(connection)
    if (!ending.has(connection)) ending.set(connection, performance.now() + CLOSE_GRACE)
  }

  function close (connection: Connection, code: number, reason: string): boolean {
    if (!connection.isOpen) return false
    hooks.noted?.(connection, 'closing', code)
    end(connection)
    connection.close(code, reason)
    return true
  }

  /** From here on it is sent what is for its user. */
  function announce (connection: Connection): void {
    registry.add(connection)
    connection.tell({ type: 'welcome', connectionId: connection.id, heartbeatMs: options.heartbeat.interval })
    hooks.opened(connection)
  }

  function find (userId: string, socket: WebSocket): Connection | undefined {
    return registry.of(userId).find(connection => connection.socket === socket) ?? [...pending.get(userId) ?? []].find(connection => connection.socket === socket)
  }

  return {
    find,

    /** Closes every connection of a user, and returns how many. */
    disconnect (userId: string, code: number, reason: string): number {
      const connections = [...registry.of(userId), ...pending.get(userId) ?? []]
      return connections.filter(connection => close(connection, code, reason)).length
    },

    /** How many sockets have not ended yet: those that are closing hold theirs too. */
    get size (): number {
      return open.size
    },

    /** Bytes that wait for clients to read them. */
    get bufferedBytes (): number {
      let bytes = 0
      for (const { waiting } of open.keys()) bytes += waiting
      return bytes
    },

    /** How many of a user. */
    sizeOf (userId: string): number {
      return ofUser.get(userId) ?? 0
    },

    /**
     * Begins to send a user's notifications to a socket, until it closes.
     * @throws FST_NOTIFICATION_INVALID_SOCKET
     */
    open (userId: string, socket: WebSocket, { request, expiresAt = Infinity, isOwn }: OpenOptions): Connection {
      assertOpen(socket)
      const registered = find(userId, socket)
      if (registered !== undefined) return registered

      const connection = new Connection(userId, socket, expiresAt, rules, isOwn ? gathering : undefined)
      const { id: connectionId } = connection
      const onError = (err: Error) => {
        end(connection) // `ws` has begun to close it
        connection.closeCode ??= closeCodeOf(err)
        log.debug({ connectionId, userId, err }, 'client connection failed')
      }
      const onPong = () => { connection.awaitsPong = false }
      const onClose = (code: number) => {
        forget(connection)
        hooks.closed?.(connection.closeCode ?? code)
        hooks.noted?.(connection, 'disconnected', code)
        log.info({ connectionId, userId, code }, 'client disconnected')
      }
      socket.on('error', onError).on('pong', onPong).once('close', onClose)
      open.set(connection, () => socket.off('error', onError).off('pong', onPong).off('close', onClose))
      ofUser.set(userId, (ofUser.get(userId) ?? 0) + 1)
      heartbeat.add(connection)
      hooks.connected?.()
      // Those in `clients` are closed by @fastify/websocket at shutdown, without a code and all at once; ours by closeAll.
      // It has none where its application set `clientTracking: false`.
      server.clients?.delete(socket)
      log.info({ connectionId, userId, ...(request && { reqId: request.id, remoteAddress: request.ip }) }, 'client connected')
      hooks.noted?.(connection, 'connected')
      const bound = hooks.opening?.(userId)
      if (bound === undefined) announce(connection)
      else {
        pend(connection)
        bound.then(() => { if (unpend(connection)) announce(connection) })
      }
      if (closing) close(connection, closeCodes.goingAway, 'server shutting down')
      return connection
    },

    /** Lets go of a connection whose socket is the application's again. */
    release (connection: Connection): void {
      open.get(connection)?.()
      forget(connection)
      hooks.closed?.('released')
      hooks.noted?.(connection, 'disconnected')
      server.clients?.add(connection.socket)
    },

    /**
     * Closes a connection, which is sent nothing more, and ends it if it doesn't answer.
     * @returns false if it was closing already
     */
    close,

    /**
     * Closes every connection, in batches, and ends those that don't answer.
     * @param timeout how long that may take, in milliseconds
     */
    async closeAll (timeout: number): Promise<void> {
      closing = true
      const teardown = new Teardown(log)
      const deadline = performance.now() + timeout
      const batches = Math.max(1, Math.floor(timeout / 2 / CLOSE_INTERVAL))
      const connections = [...open.keys()]
      const size = Math.max(CLOSE_BATCH, Math.ceil(connections.length / batches))
      for (let from = 0; from < connections.length; from += size) {
        if (from > 0) await delay(CLOSE_INTERVAL)
        const batch = connections.slice(from, from + size)
        await Promise.all(batch.map(connection => teardown.try(() => close(connection, closeCodes.goingAway, 'server shutting down'))))
      }
      if (open.size > 0) {
        const grace = Math.ceil(Math.max(0, Math.min(CLOSE_GRACE, deadline - performance.now()))) // whole milliseconds only
        await once(events, 'empty', { signal: AbortSignal.timeout(grace) }).catch(() => {})
      }
      await Promise.all(Array.from(open.keys(), ({ socket }) => teardown.try(() => socket.terminate())))
      teardown.end()
    }
  }
}

/** @throws FST_NOTIFICATION_INVALID_SOCKET */
function assertOpen (socket: WebSocket): void {
  const { readyState, OPEN, send, on } = (socket ?? {}) as Partial<WebSocket>
  if (typeof send !== 'function' || typeof on !== 'function') throw new errors.InvalidSocket(describeValue(socket))
  if (readyState !== OPEN) throw new errors.InvalidSocket('one that is closing or closed')
}

/**
 * What @fastify/websocket does about an error on a socket. A frame that breaks the protocol is the client's doing:
 * `ws` has closed the socket with the code that says so, which ending it at once would cut off.
 */
export function handleSocketError (error: Error, socket: WebSocket, request: FastifyRequest): void {
  if ((error as { code?: string }).code?.startsWith('WS_ERR_')) {
    request.log.debug({ err: error }, 'client broke the protocol')
    return
  }
  request.log.error({ err: error }, 'websocket failed')
  socket.terminate()
}
