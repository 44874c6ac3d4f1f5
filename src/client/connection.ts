import { createAcks } from './acks.js'
import { parseFrame, SUBPROTOCOL, type ServerFrame } from './frames.js'
import type { Source } from './options.js'
import { webSocketUrl, type WebSocketConstructor, type WebSocketLike } from './platform.js'

/** Milliseconds that the server may take to answer a close frame. */
const CLOSE_TIMEOUT = 3_000

/** What setTimeout takes, 24 days; of a longer time it makes a millisecond. */
const LONGEST = 2 ** 31 - 1

export interface ConnectionSettings {
  readonly url: Source<string | URL>
  readonly protocols: Source<string[]>
  readonly connectTimeout: number
  readonly WebSocket: WebSocketConstructor
  /** The welcome has come. */
  onOpen (connectionId: string): void
  onNotification (frame: ServerFrame & { type: 'notification' }): void
  onDismiss (id: string): void
  onProblem (code: string, message: string, cause?: unknown): void
  /** It is over, as the last call; not where we closed it. */
  onEnd (code: number, reason: string): void
}

/** One attempt to connect, and the connection that comes of it. */
export class Connection {
  /** When the welcome came, on the clock of `performance.now()`. */
  welcomedAt: number | undefined
  readonly #settings: ConnectionSettings
  readonly #acks = createAcks(text => this.#socket?.send(text))
  readonly #timer: ReturnType<typeof setTimeout>
  #socket: WebSocketLike | undefined
  #over = false

  constructor (settings: ConnectionSettings) {
    this.#settings = settings
    const { connectTimeout } = settings
    this.#timer = setTimeout(() => this.#end(1006, `no welcome within ${connectTimeout} ms`), Math.min(connectTimeout, LONGEST))
    this.#open()
  }

  /** Acknowledges a notification; after the end of the connection that is nothing. */
  ack (id: string): void {
    this.#acks.add(id)
  }

  /**
   * Sends the acks that wait, and closes the socket.
   * @returns when it is closed, or the server has not answered for a while
   */
  async close (code: number, reason: string): Promise<void> {
    const socket = this.#detach()
    if (socket === undefined) return
    this.#acks.flush() // at once, for a page that is being left
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, CLOSE_TIMEOUT)
      // Not every WebSocket reports the end of one that was never open by `close`.
      socket.onclose = socket.onerror = () => {
        clearTimeout(timer)
        resolve()
      }
      // What is done by now is acknowledged too, though its promises have not all come through.
      setTimeout(() => {
        this.#acks.flush()
        socket.close(code, reason)
      })
    })
    this.#acks.stop()
    socket.onclose = null
    socket.onerror = () => {}
  }

  async #open (): Promise<void> {
    const { url, protocols, WebSocket, onProblem } = this.#settings
    try {
      await undefined // the functions may use the client, which is still being constructed
      if (this.#over) return
      const [address, extra] = await Promise.all([ask(url), ask(protocols)])
      if (this.#over) return
      this.#listen(this.#socket = new WebSocket(webSocketUrl(address), [SUBPROTOCOL, ...extra]))
    } catch (cause) {
      if (this.#over) return
      onProblem('url-failed', `no URL or subprotocols to connect with: ${messageOf(cause)}`, cause)
      this.#end(1006, 'no URL or subprotocols to connect with')
    }
  }

  #listen (socket: WebSocketLike): void {
    let isOpen = false
    let failure = ''
    socket.onopen = () => {
      isOpen = true
      if (socket.protocol !== SUBPROTOCOL) this.#refuse()
    }
    socket.onmessage = ({ data }: { data: unknown }) => this.#receive(data)
    socket.onerror = ({ message = '' }: { message?: string }) => {
      failure = message
      // Node's WebSocket reports a failed upgrade by `error` alone; the others by `close` too, with the same code.
      if (!isOpen) this.#end(1006, failure)
    }
    socket.onclose = ({ code, reason }: { code: number, reason: string }) => this.#end(code, reason || failure)
  }

  #receive (data: unknown): void {
    const { onOpen, onNotification, onDismiss, onProblem } = this.#settings
    let frame
    try {
      frame = parseFrame(data)
    } catch (cause) {
      if (this.welcomedAt !== undefined) return onProblem('invalid-frame', `the server sent an invalid frame: ${messageOf(cause)}`, cause)
    }
    if (frame?.type === 'error') return onProblem(frame.code, frame.message)
    if (frame?.type === 'welcome') {
      clearTimeout(this.#timer)
      this.welcomedAt = performance.now()
      return onOpen(frame.connectionId)
    }
    // A server that knows no subprotocols may select the first that it is offered.
    if (this.welcomedAt === undefined) return this.#refuse()
    if (frame?.type === 'notification') onNotification(frame)
    if (frame?.type === 'dismiss') onDismiss(frame.id)
  }

  #refuse (): void {
    const message = `the server does not speak ${SUBPROTOCOL}`
    this.#settings.onProblem('wrong-protocol', message)
    this.#end(1002, message)
  }

  #end (code: number, reason: string): void {
    if (this.#over) return
    this.#acks.stop()
    this.#detach()?.close()
    this.#settings.onEnd(code, reason)
  }

  /** From here on nothing is reported of the socket. */
  #detach (): WebSocketLike | undefined {
    this.#over = true
    clearTimeout(this.#timer)
    const socket = this.#socket
    if (socket === undefined) return undefined
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.onerror = () => {} // that of `ws` throws where nobody listens
    return socket
  }
}

async function ask<Value> (source: Source<Value>): Promise<Value> {
  return await (typeof source === 'function' ? (source as () => Value | Promise<Value>)() : source)
}

function messageOf (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
