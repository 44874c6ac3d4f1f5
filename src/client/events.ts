/** A notification as the server sent it. */
export interface ReceivedNotification<Content = unknown> {
  readonly id: string
  readonly content: Content
  /** Whether the server may have sent the notification before, perhaps to another device of the user. */
  readonly redelivered: boolean
}

/** `open`: the server has welcomed the client. */
export class OpenEvent extends Event {
  constructor (readonly connectionId: string) { super('open') }
}

/** `notification`: a notification has arrived that this client has not handled before. */
export class NotificationEvent<Content = unknown> extends Event implements ReceivedNotification<Content> {
  readonly id: string
  readonly content: Content
  readonly redelivered: boolean
  readonly #promises: Array<Promise<unknown>>

  /** @param promises `waitUntil()` adds its promises to this array */
  constructor ({ id, content, redelivered }: ReceivedNotification<Content>, promises: Array<Promise<unknown>>) {
    super('notification')
    this.id = id
    this.content = content
    this.redelivered = redelivered
    this.#promises = promises
  }

  /**
   * Delays the acknowledgement until a promise resolves. If the promise rejects, the client does not acknowledge, and
   * the server sends the notification again. Must be called before the listener returns.
   */
  waitUntil (promise: PromiseLike<unknown>): void {
    if (this.eventPhase === 0) throw new Error('waitUntil() must be called while the event is dispatched')
    this.#promises.push(Promise.resolve(promise))
  }
}

/** `dismiss`: another device of the user has acknowledged a notification. */
export class DismissEvent extends Event {
  constructor (readonly id: string) { super('dismiss') }
}

/** `close`: a connection has ended, or an attempt to connect has failed. */
export class ConnectionCloseEvent extends Event {
  /**
   * @param code a close code (RFC 6455 §7.4); 1006 if there was no close frame
   * @param willReconnect whether the client connects again by itself
   * @param delay milliseconds until the client connects again; `undefined` if it doesn't, or waits for the network
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
export class ClientErrorEvent extends Event {
  /** @param cause what was thrown, if anything */
  constructor (readonly code: string, readonly message: string, readonly cause?: unknown) { super('error') }
}

/** `ended`: the client does not connect again by itself. The last event, unless `connect()` is called. */
export class EndedEvent extends Event {
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

export type Listener<Event> = ((event: Event) => unknown) | { handleEvent (event: Event): unknown }

export interface ListenerOptions {
  capture?: boolean
  once?: boolean
  passive?: boolean
  signal?: AbortSignal
}

type PlainListener = Parameters<EventTarget['addEventListener']>[1]

/** An EventTarget with typed events. It remembers which event types have had a listener. */
export class TypedEventTarget<Events extends { [Type in keyof Events]: Event }> extends EventTarget {
  readonly #listened = new Set<string>()

  override addEventListener<Type extends keyof Events & string> (
    type: Type, listener: Listener<Events[Type]> | null, options?: boolean | ListenerOptions
  ): void {
    this.#listened.add(type)
    super.addEventListener(type, listener as PlainListener, options)
  }

  override removeEventListener<Type extends keyof Events & string> (
    type: Type, listener: Listener<Events[Type]> | null, options?: boolean | { capture?: boolean }
  ): void {
    super.removeEventListener(type, listener as PlainListener, options)
  }

  /** Whether a listener for this type has ever been added. */
  protected hasListened (type: keyof Events & string): boolean {
    return this.#listened.has(type)
  }
}
