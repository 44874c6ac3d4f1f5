/** A notification as the server sent it. */
export interface ReceivedNotification<Content = unknown> {
  readonly id: string
  readonly content: Content
  /** Whether the server may have sent the notification before, perhaps to another device of the user. */
  readonly redelivered: boolean
  /**
   * Aborts when the handlers have taken so long that the server would not wait for them. The server then sends the
   * notification again a few times. Only where the server waits for acks.
   */
  readonly signal: AbortSignal
}

/** A notification on its way through the handlers. */
export class Received<Content> implements ReceivedNotification<Content> {
  /** Made when it is needed: most handlers don't. */
  #controller: AbortController | undefined

  constructor (readonly id: string, readonly content: Content, readonly redelivered: boolean) {}

  get signal (): AbortSignal {
    return (this.#controller ??= new AbortController()).signal
  }

  /** Gives up waiting for its handlers. */
  abort (reason: Error): void {
    (this.#controller ??= new AbortController()).abort(reason)
  }
}

/** React Native has no Event. */
const Base = (globalThis.Event ?? class { constructor (readonly type: string) {} }) as typeof Event

/** `open`: the server has welcomed the client. */
export class OpenEvent extends Base {
  constructor (readonly connectionId: string) { super('open') }
}

/** `notification`: a notification has arrived that this client has not handled before. */
export class NotificationEvent<Content = unknown> extends Base implements ReceivedNotification<Content> {
  readonly id: string
  readonly content: Content
  readonly redelivered: boolean
  readonly #notification: ReceivedNotification<Content>
  /** What the handlers of this notification have promised; undefined after its listeners were called. */
  #promises: Array<Promise<unknown>> | undefined

  /** @param promises `waitUntil()` adds its promises to this array */
  constructor (notification: ReceivedNotification<Content>, promises: Array<Promise<unknown>>) {
    super('notification')
    const { id, content, redelivered } = notification
    this.id = id
    this.content = content
    this.redelivered = redelivered
    this.#notification = notification
    this.#promises = promises
  }

  get signal (): AbortSignal {
    return this.#notification.signal
  }

  /**
   * Delays the acknowledgement until a promise resolves. If the promise rejects, the notification was not handled, and
   * the server sends it again a few times. Must be called before the listener returns.
   */
  waitUntil (promise: PromiseLike<unknown>): void {
    if (this.#promises === undefined) throw new Error('waitUntil() must be called while the event is dispatched')
    this.#promises.push(Promise.resolve(promise))
  }

  /** Calls the listeners, and adds what each of them has thrown or promised to the promises. */
  dispatch (calls: ReadonlyArray<() => unknown>): void {
    for (const call of calls) this.#promises?.push((async () => await call())())
    this.#promises = undefined
  }
}

/** `dismiss`: another device of the user has acknowledged a notification, now or while this one was away. */
export class DismissEvent extends Base {
  constructor (readonly id: string) { super('dismiss') }
}

/** `close`: a connection has ended, or an attempt to connect has failed. */
export class ConnectionCloseEvent extends Base {
  /**
   * @param code a close code (RFC 6455 §7.4); 1006 if there was no close frame
   * @param willReconnect whether the client connects again by itself
   * @param delay milliseconds until the client connects again; `undefined` if it doesn't
   */
  constructor (
    readonly code: number,
    readonly reason: string,
    readonly willReconnect: boolean,
    readonly delay: number | undefined
  ) { super('close') }
}

/**
 * `error`: something went wrong. If there is no listener, the error goes to the console.
 * The code is from the server, or one of `handler-failed`, `invalid-frame`, `url-failed`, `wrong-protocol`.
 */
export class ClientErrorEvent extends Base {
  /** @param cause what was thrown, if anything */
  constructor (readonly code: string, readonly message: string, readonly cause?: unknown) { super('error') }
}

/** `ended`: the client does not connect again by itself. The last event, unless `connect()` is called. */
export class EndedEvent extends Base {
  constructor (readonly code: number, readonly reason: string) { super('ended') }
}

export interface NotificationClientEvents<Content = unknown> {
  open: OpenEvent
  notification: NotificationEvent<Content>
  dismiss: DismissEvent
  close: ConnectionCloseEvent
  error: ClientErrorEvent
  ended: EndedEvent
}
