/** Maximum bytes of a frame where the server does not tell: its default for `limits.frameBytes`. */
const FRAME_BYTES = 4_096

/** Milliseconds between two frames: 33 a second. The server closes a connection that sends more than 50 a second. */
const INTERVAL = 30

/** Length in UTF-8. React Native may have no TextEncoder. */
export function byteLength (text: string): number {
  let bytes = 0
  for (const character of text) {
    const code = character.codePointAt(0)!
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
  }
  return bytes
}

/** `ack`: the notification was handled. `nack`: it could not be handled. */
export type Answer = 'ack' | 'nack'

/**
 * Answers for notifications on one connection: the first answer goes out in the same turn, as the page may be about to
 * unload; those that follow within {@link INTERVAL} go together, as many in a frame as fit.
 */
export class Answers {
  /** Maximum bytes of a frame. */
  frameBytes = FRAME_BYTES
  readonly #send: (text: string) => void
  #ids: Record<Answer, string[]> = { ack: [], nack: [] }
  #timer: ReturnType<typeof setTimeout> | undefined
  #isStopped = false

  /** @param send called with the text of each frame */
  constructor (send: (text: string) => void) {
    this.#send = send
  }

  add (type: Answer, id: string): void {
    if (this.#isStopped) return
    this.#ids[type].push(JSON.stringify(id))
    if (this.#timer !== undefined) return
    this.#wait()
    queueMicrotask(() => this.#sendNext())
  }

  /** Sends all at once. */
  flush (): void {
    while (this.#sendNext());
  }

  /** The connection has ended. */
  stop (): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
    this.#ids = { ack: [], nack: [] }
  }

  #wait (): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#sendNext()) this.#wait()
    }, INTERVAL)
  }

  /** @returns whether there was anything to send */
  #sendNext (): boolean {
    const { ack, nack } = this.#ids
    if (ack.length > 0) this.#sendFrame('{"type":"ack","ids":[', ack)
    else if (nack.length > 0) this.#sendFrame('{"type":"nack","ids":[', nack)
    else return false
    return true
  }

  #sendFrame (head: string, ids: string[]): void {
    let bytes = head.length + 2
    let count = 0
    for (const id of ids) {
      bytes += byteLength(id) + 1
      if (bytes > this.frameBytes) break
      count++
    }
    // The server's lowest limit has room for one id, so at least one always fits.
    this.#send(head + ids.splice(0, count || 1).join() + ']}')
  }
}
