import type { ReceivedNotification } from './events.js'
import type { WebSocketConstructor } from './platform.js'

/** A value, or a function that returns it before each attempt to connect, for credentials that expire. */
export type Source<Value> = Value | (() => Value | Promise<Value>)

export interface NotificationClientOptions<Content = unknown> {
  /**
   * Handles a notification. The client acknowledges the notification when the function has returned and its promise, if
   * any, has resolved. If the function throws or takes too long, the client says so, and the server sends the notification
   * again a few times. Calls are made in order and don't wait for each other.
   */
  onNotification?: ((notification: ReceivedNotification<Content>) => unknown) | undefined

  /** Subprotocols to offer after `notification.v1`, for servers that expect a token there. */
  protocols?: Source<string[]> | undefined

  reconnect?: {
    /**
     * Maximum first wait, in milliseconds. It doubles with each attempt. The actual wait is a random part of it. 1 or
     * more.
     * @default 1000
     */
    initialDelay?: number | undefined
    /** Maximum wait, in milliseconds. 1 or more. @default 30000 */
    maxDelay?: number | undefined
    /** How long a connection must have lasted before the waits are short again, in milliseconds. @default 10000 */
    stableAfter?: number | undefined
  } | undefined

  /**
   * How long an attempt may take until the server's welcome frame, in milliseconds, including the function that returns
   * the URL. 1 or more.
   * @default 10000
   */
  connectTimeout?: number | undefined

  /** How many ids of handled notifications to remember, so that none is handled twice. @default 10000 */
  rememberedIds?: number | undefined

  /**
   * Maximum notifications that wait for a `for await` loop, or for anybody; the server's `maxUnacked` if that is more.
   * Further ones are not acknowledged.
   * @default 1000
   */
  backlog?: number | undefined

  /** Closes the client when the signal aborts. */
  signal?: AbortSignal | undefined

  /** The WebSocket class, if there is no global one: on Node 20, that of `ws`. @default globalThis.WebSocket */
  WebSocket?: WebSocketConstructor | undefined
}

/** The minimum of each number. */
const lowest = { 'reconnect.initialDelay': 1, 'reconnect.maxDelay': 1, 'reconnect.stableAfter': 0, connectTimeout: 1, rememberedIds: 0, backlog: 0 }

/** @throws {RangeError} if an option is not a number, or is too low */
export function checkNumbers ({ reconnect, ...options }: NotificationClientOptions): void {
  const given: Record<string, unknown> = { ...options }
  for (const [name, value] of Object.entries(reconnect ?? {})) given[`reconnect.${name}`] = value
  for (const [name, least] of Object.entries(lowest)) {
    const value = given[name] ?? least
    if (typeof value !== 'number' || !(value >= least)) throw new RangeError(`${name} must be a number, ${least} or more; got ${String(value)}`)
  }
}
