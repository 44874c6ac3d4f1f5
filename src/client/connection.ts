import { createAcks } from './acks.js'
import { parseFrame, SUBPROTOCOL, type ServerFrame } from './frames.js'
import type { Source } from './options.js'
import { webSocketUrl, type WebSocketConstructor, type WebSocketLike } from './platform.js'

/** Milliseconds that the server may take to answer a close frame. */
const CLOSE_TIMEOUT = 3_000

/** The maximum delay of setTimeout, 24 days. It turns a longer delay into one millisecond. */
const LONGEST = 2 ** 31 - 1

export interface ConnectionSettings {
  readonly url: Source<string | URL>
  readonly protocols: Source<string[]>
  readonly connectTimeout: number
  readonly WebSocket: WebSocketConstructor
  /** The welcome frame has arrived. */
  onOpen (connectionId: string): void
  onNotification (frame: ServerFrame & { type: 'notification' }): void
  onDismiss (id: string): void
  onProblem (code: string, message: string, cause?: unknown): void
  /** The connection has ended. Always the last call; not called after `close()`. */
  onEnd (code: number, reason: string): void
}

/** One attempt to connect, and the connection that results from it. */
export class Connection {
  /** When the welcome frame arrived, by `performance.now()`. */
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

  /** Acknowledges a notification. Does nothing after the connection has ended. */
  ack (id: string): void {
    this.#acks.add(id)
  }

  /**
   * Sends the acks that wait, and closes the socket.
   * @returns when the socket is closed, or the server has not answered in time
   */
  async close (code: number, reason: string): Promise<void> {
    const socket = this.#detach()
    if (socket === undefined) return
    this.#acks.flush() // at once, as the page may be unloading
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, CLOSE_TIMEOUT)
      // Not every implementation emits `close` for a socket that was never open.
      socket.onclose = socket.onerror = () => {
        clearTimeout(timer)
        resolve()
      }
      // One turn later, so that notifications whose promises are about to resolve are acknowledged too.
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
      await undefined // the functions may use the client, whose constructor is still running
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
      // Node's WebSocket emits only `error` for a failed upgrade. The others also emit `close`, with the same code.
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
    // A server that does not know subprotocols may select the first one that the client offers.
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

  /** Stops reporting events of the socket. */
  #detach (): WebSocketLike | undefined {
    this.#over = true
    clearTimeout(this.#timer)
    const socket = this.#socket
    if (socket === undefined) return undefined
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.onerror = () => {} // `ws` throws if there is no listener
    return socket
  }
}

async function ask<Value> (source: Source<Value>): Promise<Value> {
  return await (typeof source === 'function' ? (source as () => Value | Promise<Value>)() : source)
}

function messageOf (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
