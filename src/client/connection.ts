import { Answers, type Answer } from './answers.js'
import { parseFrame, SUBPROTOCOL, type ServerFrame, type Welcome } from './frames.js'
import { Liveness } from './liveness.js'
import type { Source } from './options.js'
import { after, webSocketUrl, type WebSocketConstructor, type WebSocketLike } from './platform.js'

/** Milliseconds that the server may take to answer a close frame. */
const CLOSE_TIMEOUT = 3_000

export interface ConnectionSettings {
  readonly url: Source<string | URL>
  readonly protocols: Source<string[]>
  readonly connectTimeout: number
  readonly WebSocket: WebSocketConstructor
  /** The welcome frame has arrived. */
  onOpen (welcome: Welcome): void
  onNotification (frame: ServerFrame & { type: 'notification' }): void
  onDismiss (frame: ServerFrame & { type: 'dismiss' }): void
  onProblem (code: string, message: string, cause?: unknown): void
  /** The connection has ended. Always the last call; not called after `close()`. */
  onEnd (code: number, reason: string): void
}

/** One attempt to connect, and the connection that results from it. */
export class Connection {
  /** When the welcome frame arrived, by `performance.now()`. */
  welcomedAt: number | undefined
  readonly #settings: ConnectionSettings
  readonly #answers = new Answers(text => this.#socket?.send(text))
  readonly #liveness = new Liveness({
    ping: () => this.#socket?.send('{"type":"ping"}'),
    lost: reason => this.#end(1006, reason)
  })

  readonly #stopTimeout: () => void
  #socket: WebSocketLike | undefined
  #over = false

  constructor (settings: ConnectionSettings) {
    this.#settings = settings
    const { connectTimeout } = settings
    this.#stopTimeout = after(connectTimeout, () => this.#end(1006, `no welcome within ${connectTimeout} ms`))
    this.#open()
  }

  /** Answers for a notification. Does nothing after the connection has ended. */
  answer (type: Answer, id: string): void {
    this.#answers.add(type, id)
  }

  /** Sends the answers that wait. */
  flush (): void {
    this.#answers.flush()
  }

  /** Asks the server whether the connection is still alive. If no answer comes, the connection ends. */
  probe (): void {
    this.#liveness.probe()
  }

  /** Sends the answers that wait, and closes the socket, all in this turn: the page is being left. */
  leave (): void {
    const socket = this.#detach()
    this.#answers.flush()
    this.#answers.stop()
    socket?.close()
  }

  /**
   * Sends the answers that wait, and closes the socket.
   * @returns when the socket is closed, or the server has not answered in time
   */
  async close (code: number, reason: string): Promise<void> {
    const socket = this.#detach()
    if (socket === undefined) return
    this.#answers.flush() // at once, as the page may be unloading
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, CLOSE_TIMEOUT)
      // Not every implementation emits `close` for a socket that was never open.
      socket.onclose = socket.onerror = () => {
        clearTimeout(timer)
        resolve()
      }
      // One turn later, so that notifications whose promises are about to resolve are acknowledged too.
      setTimeout(() => {
        this.#answers.flush()
        socket.close(code, reason)
      })
    })
    this.#answers.stop()
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

  #welcome (welcome: Welcome): void {
    const { silenceMs, frameBytes } = welcome
    this.#stopTimeout()
    this.welcomedAt = performance.now()
    if (frameBytes !== undefined) this.#answers.frameBytes = frameBytes
    if (silenceMs !== undefined) this.#liveness.start(silenceMs)
    this.#settings.onOpen(welcome)
  }

  #receive (data: unknown): void {
    this.#liveness.seen()
    const { onNotification, onDismiss, onProblem } = this.#settings
    let frame
    try {
      frame = parseFrame(data)
    } catch (cause) {
      if (this.welcomedAt !== undefined) return onProblem('invalid-frame', `the server sent an invalid frame: ${messageOf(cause)}`, cause)
    }
    if (frame?.type === 'error') return onProblem(frame.code, frame.message)
    if (frame?.type === 'welcome') return this.#welcome(frame)
    // A server that does not know subprotocols may select the first one that the client offers.
    if (this.welcomedAt === undefined) return this.#refuse()
    if (frame?.type === 'notification') onNotification(frame)
    if (frame?.type === 'dismiss') onDismiss(frame)
  }

  #refuse (): void {
    const message = `the server does not speak ${SUBPROTOCOL}`
    this.#settings.onProblem('wrong-protocol', message)
    this.#end(1002, message)
  }

  #end (code: number, reason: string): void {
    if (this.#over) return
    this.#answers.stop()
    this.#detach()?.close()
    this.#settings.onEnd(code, reason)
  }

  /** Stops reporting events of the socket. */
  #detach (): WebSocketLike | undefined {
    this.#over = true
    this.#stopTimeout()
    this.#liveness.stop()
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
