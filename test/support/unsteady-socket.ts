import { WebSocket } from 'ws'
import type { WebSocketLike } from '../../src/client/index.js'

/** What somebody wants to know of the sockets of a client. */
export interface SocketWatch {
  opened (socket: UnsteadySocket): void
  /** A text has arrived. */
  received (text: string): void
  /**
   * A connection has ended.
   * @param since when it began to, or to be silent, in milliseconds since 1970: from then on it may have taken what its
   *   client never saw
   * @param code of its end; undefined where it had never been open
   */
  ended (since: number, code: number | undefined): void
}

/** The WebSocket of `ws` for a client, which can be cut, fall silent and be forgotten underneath it. */
export class UnsteadySocket implements WebSocketLike {
  onopen: WebSocketLike['onopen'] = null
  onmessage: WebSocketLike['onmessage'] = null
  onerror: WebSocketLike['onerror'] = null
  onclose: WebSocketLike['onclose'] = null
  readonly #socket: WebSocket
  #silent = false
  #since: number | undefined
  /** Whether its client has given it up while it was silent: what arrives later is for nobody. */
  #isGivenUp = false

  constructor (url: string, protocols: string[], watch: SocketWatch) {
    this.#socket = new WebSocket(url, protocols)
    let wasOpen = false
    this.#socket
      .on('open', () => {
        wasOpen = true
        watch.opened(this)
        this.onopen?.({})
      })
      .on('message', (data: Buffer) => {
        if (this.#silent) return // `ws` reads what is left when it ends
        watch.received(data.toString())
        this.onmessage?.({ data: data.toString() })
      })
      .on('error', ({ message }) => this.onerror?.({ message }))
      .on('close', (code, reason) => {
        watch.ended(this.#since ?? Date.now(), wasOpen ? code : undefined)
        this.onclose?.({ code, reason: reason.toString() })
      })
  }

  get protocol (): string { return this.#socket.protocol }

  get isOpen (): boolean { return this.#socket.readyState === WebSocket.OPEN }

  /** What is sent while it is silent does not leave. */
  send (text: string): void {
    if (!this.#silent) this.#socket.send(text)
  }

  close (code?: number, reason?: string): void {
    this.#since ??= Date.now()
    if (this.#silent) this.#isGivenUp = true
    else this.#socket.close(code, reason)
  }

  /** Ends the connection without a close frame. */
  cut (): void {
    this.#since ??= Date.now()
    this.#socket.terminate()
  }

  /** Reads nothing more, pings neither, and sends nothing: a frozen tab, a swallowing network. */
  fallSilent (): void {
    this.#since ??= Date.now()
    this.#silent = true
    this.#socket.pause()
  }

  /** Goes on where it was. */
  wake (): void {
    if (this.#isGivenUp) return this.#socket.terminate()
    this.#silent = false
    this.#since = undefined
    this.#socket.resume()
  }

  /** Falls silent, and tells its client that it has ended, of which the server learns nothing. */
  vanish (): void {
    this.fallSilent()
    this.onclose?.({ code: 1006, reason: 'vanished' })
  }
}
