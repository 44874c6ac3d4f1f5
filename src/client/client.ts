import { Backlog, LEFT } from './backlog.js'
import { Connection } from './connection.js'
import {
  ClientErrorEvent, ConnectionCloseEvent, DismissEvent, EndedEvent, NotificationEvent, OpenEvent, TypedEventTarget,
  type NotificationClientEvents, type ReceivedNotification
} from './events.js'
import { Inbox } from './inbox.js'
import { checkNumbers, type NotificationClientOptions, type Source } from './options.js'
import { defaultWebSocket, isOffline, webSocketUrl, whenWorthTrying, type WebSocketConstructor } from './platform.js'
import { isFinal, retryDelay } from './retry.js'

/** `waiting`: between two attempts to connect. `closed`: there will be no further attempt. */
export type NotificationClientState = 'connecting' | 'open' | 'waiting' | 'closed'

/**
 * Receives the notifications of a user, acknowledges them, and connects again when the connection is lost.
 *
 * The client acknowledges a notification when all its handlers are done: `onNotification` has resolved, every listener
 * has returned, the promises given to `waitUntil()` have resolved, and a `for await` loop has asked for the next
 * notification. If one of them fails, the client does not acknowledge, and the server sends the notification again. A
 * notification without any handler waits for a loop.
 */
export class NotificationClient<Content = unknown>
  extends TypedEventTarget<NotificationClientEvents<Content>>
  implements AsyncIterable<ReceivedNotification<Content>> {
  readonly #url: Source<string | URL>
  readonly #options: NotificationClientOptions<Content>
  readonly #WebSocket: WebSocketConstructor
  readonly #inbox: Inbox<Content>
  readonly #backlog: Backlog<Content>
  readonly #onAbort = () => { this.close() }
  #state: NotificationClientState = 'closed'
  #connection: Connection | undefined
  #attempts = 0
  #stopWaiting = () => {}
  #closing: Promise<void> | undefined

  /**
   * Connects at once. Listeners that are added in the same turn of the event loop miss no event.
   * @param url ws(s) or http(s), in a page also relative; or a function that returns the URL before each attempt
   * @throws {TypeError} if the URL is invalid, or there is no WebSocket
   * @throws {RangeError} if a number of the options is too low, or is not a number
   */
  constructor (url: Source<string | URL>, options: NotificationClientOptions<Content> = {}) {
    super()
    const WebSocket = options.WebSocket ?? defaultWebSocket()
    if (WebSocket === undefined) throw new TypeError('there is no global WebSocket: give one by the option WebSocket')
    if (typeof url !== 'function') webSocketUrl(url)
    checkNumbers(options as NotificationClientOptions)
    this.#url = url
    this.#options = options
    this.#WebSocket = WebSocket
    this.#inbox = new Inbox(options.rememberedIds ?? 10_000, notification => this.#take(notification))
    this.#backlog = new Backlog(options.backlog ?? 1_000)
    this.connect()
  }

  get state (): NotificationClientState { return this.#state }

  /** Connects again after the client has ended. If the client waits for the next attempt, connects now. */
  connect (): void {
    const { signal } = this.#options
    if (this.#state === 'closed') {
      this.#attempts = 0
      this.#backlog.open()
      if (signal?.aborted === true) queueMicrotask(this.#onAbort)
      signal?.addEventListener('abort', this.#onAbort)
    } else if (this.#state !== 'waiting') return
    this.#stopWaiting()
    this.#tryToConnect()
  }

  /**
   * Ends the client: sends the acks that wait, and closes the connection. It does not wait for notifications that are
   * still being handled, and does not acknowledge them.
   * @param code 1000, or 3000 to 4999
   * @param reason at most 123 bytes
   * @returns when the connection is closed
   */
  async close (code = 1000, reason = ''): Promise<void> {
    if (code !== 1000 && !(code >= 3000 && code <= 4999)) throw new RangeError('code must be 1000, or 3000 to 4999')
    if (new TextEncoder().encode(reason).length > 123) throw new RangeError('reason must be at most 123 bytes')
    if (this.#state !== 'closed') {
      const connection = this.#connection
      this.#closing = connection?.close(code, reason)
      this.#finish(code, reason, connection !== undefined)
    }
    await this.#closing
  }

  /** Yields the notifications, one after the other, until the client ends. */
  [Symbol.asyncIterator] (): AsyncGenerator<ReceivedNotification<Content>, void, undefined> {
    return this.#backlog.read()
  }

  #tryToConnect (): void {
    if (isOffline()) return this.#wait(0)
    this.#state = 'connecting'
    const { protocols = [], connectTimeout = 10_000 } = this.#options
    const connection = this.#connection = new Connection({
      url: this.#url,
      protocols,
      connectTimeout,
      WebSocket: this.#WebSocket,
      onOpen: connectionId => {
        this.#state = 'open'
        this.dispatchEvent(new OpenEvent(connectionId))
      },
      onNotification: ({ id, content, redelivered = false }) => {
        this.#inbox.receive({ id, content: content as Content, redelivered }, connection)
      },
      onDismiss: id => {
        this.#backlog.remove(id)
        this.dispatchEvent(new DismissEvent(id))
      },
      onProblem: (code, message, cause) => this.#report(code, message, cause),
      onEnd: (code, reason) => this.#lose(connection, code, reason)
    })
  }

  #lose ({ welcomedAt }: Connection, code: number, reason: string): void {
    this.#connection = undefined
    if (isFinal(code)) return this.#finish(code, reason, true)
    const { initialDelay = 1_000, maxDelay = 30_000, stableAfter = 10_000 } = this.#options.reconnect ?? {}
    if (welcomedAt !== undefined && performance.now() - welcomedAt >= stableAfter) this.#attempts = 0
    const delay = retryDelay(this.#attempts++, initialDelay, maxDelay)
    this.#wait(delay)
    this.dispatchEvent(new ConnectionCloseEvent(code, reason, true, isOffline() ? undefined : delay))
  }

  #wait (delay: number): void {
    this.#state = 'waiting'
    this.#stopWaiting = whenWorthTrying(delay, () => this.#tryToConnect())
  }

  #finish (code: number, reason: string, wasConnected: boolean): void {
    this.#state = 'closed'
    this.#connection = undefined
    this.#stopWaiting()
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#backlog.end()
    if (wasConnected) this.dispatchEvent(new ConnectionCloseEvent(code, reason, false, undefined))
    // A listener may have called connect().
    if (this.#state === 'closed') this.dispatchEvent(new EndedEvent(code, reason))
  }

  /** Hands a notification to all handlers. Resolves to whether all of them have handled it. */
  async #take (notification: ReceivedNotification<Content>): Promise<boolean> {
    const { onNotification } = this.#options
    const takers: Array<Promise<unknown>> = []
    if (onNotification !== undefined) takers.push((async () => await onNotification(notification))())
    this.dispatchEvent(new NotificationEvent(notification, takers))
    const isTaken = onNotification !== undefined || this.hasListened('notification')
    if (!isTaken || this.#backlog.isRead) takers.push(this.#backlog.add(notification))

    // Not `Promise.all`: when one handler has failed, others may still run. The notification must not be handled again
    // meanwhile.
    const results = await Promise.allSettled(takers)
    const failures = results.flatMap(result => result.status === 'rejected' ? [result.reason] : [])
    for (const cause of failures) {
      if (cause !== LEFT) this.#report('handler-failed', `notification ${notification.id} was not handled`, cause)
    }
    return failures.length === 0
  }

  #report (code: string, message: string, cause?: unknown): void {
    if (this.#state === 'closed') return
    this.dispatchEvent(new ClientErrorEvent(code, message, cause))
    if (!this.hasListened('error')) console.error(`notification client: ${message}`, cause ?? '')
  }
}
