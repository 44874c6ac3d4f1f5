import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Subscriber } from '../delivery/doors.js'
import type { Payload } from '../delivery/payload.js'
import { framesOf, joinFrames, TextFrame } from './frames.js'
import { SUBPROTOCOL, type ServerFrame } from './protocol.js'
import type { WriteBatcher } from './write-batcher.js'

/** What applies to all connections. */
export interface ConnectionRules {
  /** Maximum number of bytes that may wait for a client to read them. */
  readonly bufferedBytes: number
  /** More bytes wait for the client of a connection. */
  onSlow (connection: Connection): void
}

/** Random bytes for 100 ids. To ask the system for the bytes of each id would add 5 µs to an upgrade. */
const ID_BYTES = 12
const random = Buffer.alloc(100 * ID_BYTES)
let randomUsed = random.length

/** Makes an id of 24 hexadecimal digits. A UUID would take 700 bytes: V8 keeps it as a rope of 20 strings until it is read. */
function createId (): string {
  if (randomUsed === random.length) {
    randomFillSync(random)
    randomUsed = 0
  }
  const from = randomUsed
  randomUsed += ID_BYTES
  return random.toString('hex', from, randomUsed)
}

/** One WebSocket of one user. */
export class Connection implements Subscriber {
  readonly id = createId()
  /** Whether its client acknowledges notifications: it speaks `notification.v1`. */
  readonly acknowledges: boolean
  unackedCount = 0
  /** The code that this server closes it with. */
  closeCode: number | undefined
  /** Whether its client has been pinged and has not answered yet. */
  awaitsPong = false
  /** The slot of the heartbeat that pings it. */
  slot = 0
  /** How many more ack frames its client may send: one for each notification sent. */
  private credit = 0
  /** How many more ids its client may acknowledge that nobody waits for: one for each notification sent. */
  private claims = 0
  /** Where frames are written to directly; undefined if `ws` must write them. */
  private readonly stream: Writable | undefined
  /** The frames of this turn that are not written yet; undefined if there are none. */
  private frames: TextFrame[] | undefined
  /** Bytes of `frames`. */
  private bytes = 0

  /**
   * @param expiresAt when its user's credentials expire, in milliseconds since 1970
   * @param writeBatcher undefined if the application writes to the socket too: a batched write would come after its writes
   */
  constructor (
    readonly userId: string,
    readonly socket: WebSocket,
    readonly expiresAt: number,
    private readonly rules: ConnectionRules,
    private readonly writeBatcher?: WriteBatcher
  ) {
    this.stream = streamOf(socket)
    this.acknowledges = writeBatcher !== undefined && socket.protocol === SUBPROTOCOL
  }

  get isOpen (): boolean {
    return this.socket.readyState === this.socket.OPEN
  }

  /** Whether notifications may be sent: the socket is open, and the credentials have not expired. */
  get isUsable (): boolean {
    return this.isOpen && (this.expiresAt === Infinity || this.expiresAt > Date.now())
  }

  /**
   * Hands a payload to the socket.
   * @param redelivered whether the client may have seen it before
   * @returns false if the socket is not open any more, the credentials have expired, or the client is too slow
   */
  send (payload: Payload, redelivered = false): boolean {
    if (!this.isUsable) return false
    if (this.waiting > this.rules.bufferedBytes) {
      this.rules.onSlow(this)
      return false
    }
    if (this.acknowledges) {
      this.credit++
      this.claims++
    }
    const frames = framesOf(payload)
    this.write(!this.acknowledges ? frames.plain : redelivered ? frames.redelivered : frames.rich)
    return true
  }

  /** Tells the client that another connection of the user has acknowledged a notification. */
  dismiss (id: string): void {
    this.tell({ type: 'dismiss', id })
  }

  /** Sends a frame that is not a notification. A plain client gets none. */
  tell (frame: ServerFrame): void {
    if (this.acknowledges && this.isOpen && this.waiting <= this.rules.bufferedBytes) this.write(new TextFrame(JSON.stringify(frame)))
  }

  /**
   * Uses up one of the ack frames that the client may send.
   * @returns false if there is none left
   */
  spendCredit (): boolean {
    if (this.credit === 0) return false
    this.credit--
    return true
  }

  /**
   * Uses up one of the ids that the client may acknowledge though nobody waits for them.
   * @returns false if there is none left
   */
  spendClaim (): boolean {
    if (this.claims === 0) return false
    this.claims--
    return true
  }

  /** Bytes that this process has not sent to the client yet. */
  get waiting (): number {
    return this.socket.bufferedAmount + this.bytes
  }

  /** Whether the stream asks for a pause: as many bytes wait as its high-water mark. */
  get isCongested (): boolean {
    return this.stream !== undefined && this.waiting >= this.stream.writableHighWaterMark
  }

  /** Resolves when the connection is not congested any more, or has ended, or the signal aborts. */
  async relieved (over: AbortSignal): Promise<void> {
    this.flush()
    // A destroyed stream emits no `drain`, and its `close` may have come already.
    if (this.stream === undefined || !(this.stream.writableNeedDrain || this.stream.destroyed)) return
    const events = ['drain', 'close'].map(async event => await once(this.stream!, event, { signal: over }))
    await Promise.race(events).catch(() => {})
  }

  private write (frame: TextFrame): void {
    if (this.stream === undefined) this.socket.send(frame.text)
    else if (this.writeBatcher === undefined) this.stream.write(frame.chunk, 'latin1')
    else this.batch(this.writeBatcher, frame)
  }

  private batch (writeBatcher: WriteBatcher, frame: TextFrame): void {
    if (this.frames === undefined) {
      this.frames = [frame]
      writeBatcher.add(this)
    } else {
      this.frames.push(frame)
    }
    this.bytes += frame.length
    writeBatcher.addBytes(frame.length)
  }

  /** Writes the batched frames. */
  flush (): void {
    const { frames, bytes } = this
    if (frames === undefined) return
    this.frames = undefined
    this.bytes = 0
    if (this.isOpen) this.stream!.write(frames.length === 1 ? frames[0]!.chunk : joinFrames(frames, bytes), 'latin1')
  }

  /** Asks the client whether it is still there. */
  ping (): void {
    if (!this.isOpen) return
    this.awaitsPong = true
    this.socket.ping()
  }

  /** Closes the socket with a code of the table and a reason of at most 123 bytes (RFC 6455 §5.5). */
  close (code: number, reason: string): void {
    this.flush()
    this.closeCode = code
    this.socket.close(code, reason)
  }
}

/**
 * Gets the stream that `ws` writes its frames to, so that our own frames can go there too.
 * @returns undefined if the socket uses an extension such as compression, or if this version of `ws` has no `_socket`
 */
function streamOf (socket: WebSocket): Writable | undefined {
  return socket.extensions === '' ? (socket as { _socket?: Writable })._socket : undefined
}
