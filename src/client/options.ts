import type { ReceivedNotification } from './events.js'
import type { WebSocketConstructor } from './platform.js'

/** A value, or a function that is asked for it before each attempt to connect: for credentials that don't last. */
export type Source<Value> = Value | (() => Value | Promise<Value>)

export interface NotificationClientOptions<Content = unknown> {
  /**
   * Takes a notification over: it is acknowledged when this has returned, or what it returned has resolved. If it
   * throws, it is not, and the server sends it again. Calls are made in order and don't wait for each other.
   */
  onNotification?: ((notification: ReceivedNotification<Content>) => unknown) | undefined

  /** Subprotocols to offer after `notification.v1`: where the server expects a token there. */
  protocols?: Source<string[]> | undefined

  reconnect?: {
    /** Milliseconds: the longest first wait. Doubled at each attempt; what is waited is a random part of it. 1 or more. @default 1000 */
    initialDelay?: number | undefined
    /** Milliseconds: the longest wait. 1 or more. @default 30000 */
    maxDelay?: number | undefined
    /** Milliseconds that a connection must have lasted for the waits to be short again. @default 10000 */
    stableAfter?: number | undefined
  } | undefined

  /** Milliseconds that an attempt may take until the server's welcome, the URL's function included. 1 or more. @default 10000 */
  connectTimeout?: number | undefined

  /** How many ids of handled notifications are remembered, so as not to handle one twice. @default 10000 */
  rememberedIds?: number | undefined

  /** How many notifications may wait for a `for await` loop. One more is not taken, nor acknowledged. @default 1000 */
  backlog?: number | undefined

  /** Closes the client when it is aborted. */
  signal?: AbortSignal | undefined

  /** The class to connect with, where there is no global one: that of `ws` on Node 20. @default globalThis.WebSocket */
  WebSocket?: WebSocketConstructor | undefined
}

/** What each number must be at least. */
const lowest = { 'reconnect.initialDelay': 1, 'reconnect.maxDelay': 1, 'reconnect.stableAfter': 0, connectTimeout: 1, rememberedIds: 0, backlog: 0 }

/** @throws {RangeError} where one of the numbers is none, or too low */
export function checkNumbers ({ reconnect, ...options }: NotificationClientOptions): void {
  const given: Record<string, unknown> = { ...options }
  for (const [name, value] of Object.entries(reconnect ?? {})) given[`reconnect.${name}`] = value
  for (const [name, least] of Object.entries(lowest)) {
    const value = given[name] ?? least
    if (typeof value !== 'number' || !(value >= least)) throw new RangeError(`${name} must be a number, ${least} or more; got ${String(value)}`)
  }
}
