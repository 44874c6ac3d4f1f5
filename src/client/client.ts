import { byteLength } from './answers.js'
import { Backlog } from './backlog.js'
import { Connection } from './connection.js'
import { Deadline } from './deadline.js'
import { TypedEventTarget } from './event-target.js'
import {
  ClientErrorEvent, ConnectionCloseEvent, DismissEvent, EndedEvent, OpenEvent, Received,
  type NotificationClientEvents, type ReceivedNotification
} from './events.js'
import type { Welcome } from './frames.js'
import { Handlers } from './handlers.js'
import { Inbox } from './inbox.js'
import { checkNumbers, type NotificationClientOptions, type Source } from './options.js'
import { after, defaultWebSocket, isOffline, watchPage, webSocketUrl, type WebSocketConstructor } from './platform.js'
import { asksForCredentials, EXPIRED, isFinal, retryDelay } from './retry.js'

/** `waiting`: between two attempts to connect. `closed`: there will be no further attempt. */
export type NotificationClientState = 'connecting' | 'open' | 'waiting' | 'closed'

/** The part of the server's time for an ack that handlers get. The rest is for the way. */
const HANDLING_PART = 0.8

/** Maximum random delay before a wake-up of the page is acted on, in milliseconds: a network comes back for many pages at once. */
const JITTER = 1_000

/**
 * Receives the notifications of a user, acknowledges them, and connects again when the connection is lost.
 *
 * The client acknowledges a notification when all its handlers are done: `onNotification` has resolved, every listener
 * has returned and its promise has resolved, the promises given to `waitUntil()` have resolved, and a `for await` loop has
 * asked for the next notification. If one of them fails or takes too long, the client says so, and the server sends the
 * notification again a few times. A notification that nobody takes waits until somebody does.
 */
export class NotificationClient<Content = unknown>
  extends TypedEventTarget<NotificationClientEvents<Content>>
  implements AsyncIterable<ReceivedNotification<Content>> {
  readonly #url: Source<string | URL>
  readonly #options: NotificationClientOptions<Content>
  readonly #WebSocket: WebSocketConstructor
  readonly #deadline = new Deadline()
  readonly #handlers: Handlers<Content>
  readonly #inbox: Inbox<Content>
  readonly #backlog: Backlog<Content>
  readonly #onAbort = () => { this.close() }
  #state: NotificationClientState = 'closed'
  #connection: Connection | undefined
  #attempts = 0
  /** Whether new credentials were asked for, and no connection has lasted since. */
  #hasAskedAgain = false
  #stopWaiting = () => {}
  #stopWaking: (() => void) | undefined
  #unwatchPage = () => {}
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
    this.#backlog = new Backlog(options.backlog ?? 1_000, this.#deadline)
    this.#handlers = new Handlers({
      onNotification: options.onNotification,
      hasListener: () => this.hasListener('notification'),
      dispatch: event => event.dispatch(this.callsOf(event)),
      backlog: this.#backlog,
      deadline: this.#deadline,
      handledLate: id => this.#inbox.handledLate(id, this.#connection),
      failed: (id, cause) => this.#report('handler-failed', `notification ${id} was not handled`, cause)
    })
    this.#inbox = new Inbox(options.rememberedIds ?? 10_000, notification => this.#handlers.take(notification))
    this.connect()
  }

  get state (): NotificationClientState { return this.#state }

  /**
   * Connects again after the client has ended. If the client waits for the next attempt, connects now. If it is connected,
   * finds out whether the connection is still alive.
   */
  connect (): void {
    if (this.#state === 'open') return this.#connection?.probe()
    if (this.#state === 'connecting') return
    if (this.#state === 'closed') this.#start()
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
    if (byteLength(reason) > 123) throw new RangeError('reason must be at most 123 bytes')
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

  #start (): void {
    const { signal } = this.#options
    this.#attempts = 0
    this.#hasAskedAgain = false
    this.#backlog.open()
    if (signal?.aborted === true) queueMicrotask(this.#onAbort)
    signal?.addEventListener('abort', this.#onAbort)
    this.#unwatchPage = watchPage({
      onWake: () => this.#wake(),
      onHide: () => this.#connection?.flush(),
      onLeave: () => this.#leave()
    })
  }

  #tryToConnect (): void {
    this.#stopWaiting()
    this.#state = 'connecting'
    const { protocols = [], connectTimeout = 10_000 } = this.#options
    const connection = this.#connection = new Connection({
      url: this.#url,
      protocols,
      connectTimeout,
      WebSocket: this.#WebSocket,
      onOpen: welcome => this.#open(welcome),
      onNotification: ({ id, content, redelivered = false }) => {
        this.#inbox.receive(new Received(id, content as Content, redelivered), connection)
      },
      onDismiss: ({ ids, earlier }) => {
        for (const id of ids) {
          if (earlier === true && this.#inbox.hasHandled(id)) continue // it was this client, and what it shows is its own
          this.#backlog.remove(id)
          this.dispatchEvent(new DismissEvent(id))
        }
      },
      onProblem: (code, message, cause) => this.#report(code, message, cause),
      onEnd: (code, reason) => this.#lose(connection, code, reason)
    })
  }

  #open ({ connectionId, maxUnacked = 0, ackTimeoutMs = Infinity }: Welcome): void {
    this.#state = 'open'
    this.#deadline.timeout = ackTimeoutMs * HANDLING_PART
    // What the server sends without an ack must have room here. It would else be received again and again.
    this.#backlog.limit = Math.max(this.#backlog.limit, maxUnacked)
    this.dispatchEvent(new OpenEvent(connectionId))
  }

  #lose ({ welcomedAt }: Connection, code: number, reason: string): void {
    const { stableAfter = 10_000 } = this.#options.reconnect ?? {}
    const isStable = welcomedAt !== undefined && performance.now() - welcomedAt >= stableAfter
    if (isStable) this.#attempts = 0
    // The welcome has shown that credentials were accepted that have expired since: another attempt may get others.
    if (isStable || (welcomedAt !== undefined && code === EXPIRED)) this.#hasAskedAgain = false
    if (isFinal(code) && !(asksForCredentials(code) && this.#canAskAgain())) return this.#finish(code, reason, true)
    this.#retry(code, reason)
  }

  /** Whether a function can be asked for other credentials, and was not asked already. */
  #canAskAgain (): boolean {
    if (this.#hasAskedAgain || ![this.#url, this.#options.protocols].some(source => typeof source === 'function')) return false
    return (this.#hasAskedAgain = true)
  }

  #retry (code: number, reason: string): void {
    const { initialDelay = 1_000, maxDelay = 30_000 } = this.#options.reconnect ?? {}
    const delay = retryDelay(isOffline() ? Infinity : this.#attempts++, initialDelay, maxDelay)
    this.#connection = undefined
    this.#state = 'waiting'
    this.#stopWaiting = after(delay, () => this.#tryToConnect())
    this.dispatchEvent(new ConnectionCloseEvent(code, reason, true, delay))
  }

  /** The page is seen again, or the network is back. */
  #wake (): void {
    this.#stopWaking ??= after(Math.random() * JITTER, () => {
      this.#stopWaking = undefined
      this.connect()
    })
  }

  /** The page is being left. The browser keeps it for the way back only if it has no connection. */
  #leave (): void {
    if (this.#connection === undefined) return
    this.#connection.leave()
    this.#retry(1000, 'the page was left')
  }

  #finish (code: number, reason: string, wasConnected: boolean): void {
    this.#state = 'closed'
    this.#connection = undefined
    this.#stopWaiting()
    this.#stopWaking?.()
    this.#stopWaking = undefined
    this.#unwatchPage()
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#backlog.end()
    if (wasConnected) this.dispatchEvent(new ConnectionCloseEvent(code, reason, false, undefined))
    // A listener may have called connect().
    if (this.#state === 'closed') this.dispatchEvent(new EndedEvent(code, reason))
  }

  /** Others may be added in the same turn, so what waits is handed over after it. */
  protected override listenerAdded (type: keyof NotificationClientEvents): void {
    if (type === 'notification') queueMicrotask(() => this.#handlers.handOver())
  }

  #report (code: string, message: string, cause?: unknown): void {
    if (this.#state === 'closed') return
    if (!this.hasListener('error')) console.error(`notification client: ${message}`, cause ?? '')
    this.dispatchEvent(new ClientErrorEvent(code, message, cause))
  }
}
