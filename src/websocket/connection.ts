import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Subscriber } from '../delivery/doors.js'
import type { Payload } from '../delivery/payload.js'
import { framesOf, joinFrames, TextFrame } from './frames.js'
import type { Gathering } from './write-batcher.js'
import { SUBPROTOCOL, type ServerFrame } from './protocol.js'

/** What all connections have in common. */
export interface ConnectionRules {
  /** Bytes that may wait for a client to read them. */
  readonly bufferedBytes: number
  /** More than that wait. */
  onSlow (connection: Connection): void
}

/** Random bytes for ids, taken from the system a hundred ids at a time: each by itself would cost 5 µs of an upgrade. */
const ID_BYTES = 12
const random = Buffer.alloc(100 * ID_BYTES)
let randomUsed = random.length

/** 24 hexadecimal digits. A UUID is a rope of twenty strings, 700 bytes for as long as nobody reads it. */
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
  /** Whether its client speaks `notification.v1`, and so acknowledges. */
  readonly acknowledges: boolean
  unackedCount = 0
  /** With which code it is being closed from here. */
  closeCode: number | undefined
  /** Whether it has been pinged and has not answered. */
  awaitsPong = false
  /** Which part of the heartbeat pings it. */
  slot = 0
  /** How many ack frames it may send for what it was sent. */
  private credit = 0
  /** How many ids that are not waited for it may name: as many as it was sent. */
  private claims = 0
  private readonly stream: Writable | undefined
  private frames: TextFrame[] | undefined
  private bytes = 0

  /**
   * @param expiresAt when its user's credentials expire, in milliseconds since 1970
   * @param gathering left out where somebody else writes to the socket too, whose order would change
   */
  constructor (
    readonly userId: string,
    readonly socket: WebSocket,
    readonly expiresAt: number,
    private readonly rules: ConnectionRules,
    private readonly gathering?: Gathering
  ) {
    this.stream = streamOf(socket)
    this.acknowledges = gathering !== undefined && socket.protocol === SUBPROTOCOL
  }

  get isOpen (): boolean {
    return this.socket.readyState === this.socket.OPEN
  }

  /** Whether it may be sent anything: its socket is open, and its credentials have not expired. */
  get isUsable (): boolean {
    return this.isOpen && (this.expiresAt === Infinity || this.expiresAt > Date.now())
  }

  /**
   * Hands a payload to the socket.
   * @param redelivered whether the client may have seen it before
   * @returns false where the socket is no longer open, the credentials have expired, or the client is too slow
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

  /** Tells its client that another connection of the user has acknowledged a notification. */
  dismiss (id: string): void {
    this.tell({ type: 'dismiss', id })
  }

  /** Says something about the connection itself to a client that speaks `notification.v1`. */
  tell (frame: ServerFrame): void {
    if (this.acknowledges && this.isOpen && this.waiting <= this.rules.bufferedBytes) this.write(new TextFrame(JSON.stringify(frame)))
  }

  /** Takes one of the ack frames that it may send; false where there is none left. */
  spendCredit (): boolean {
    if (this.credit === 0) return false
    this.credit--
    return true
  }

  /** Takes one of the ids that it may name though they are not waited for; false where there is none left. */
  spendClaim (): boolean {
    if (this.claims === 0) return false
    this.claims--
    return true
  }

  /** Bytes that the client has not read yet, as far as is known. */
  get waiting (): number {
    return this.socket.bufferedAmount + this.bytes
  }

  /** Whether more than the stream would take at once waits for the client. */
  get isCongested (): boolean {
    return this.stream !== undefined && this.waiting >= this.stream.writableHighWaterMark
  }

  /** Resolves when it is not congested any more, or has ended, or the signal aborts. */
  async relieved (over: AbortSignal): Promise<void> {
    this.flush()
    // One that was destroyed needs no drain: its end is told in another turn.
    if (this.stream === undefined || !(this.stream.writableNeedDrain || this.stream.destroyed)) return
    const events = ['drain', 'close'].map(async event => await once(this.stream!, event, { signal: over }))
    await Promise.race(events).catch(() => {})
  }

  private write (frame: TextFrame): void {
    if (this.stream === undefined) this.socket.send(frame.text)
    else if (this.gathering === undefined) this.stream.write(frame.chunk, 'latin1')
    else this.gather(this.gathering, frame)
  }

  private gather (gathering: Gathering, frame: TextFrame): void {
    if (this.frames === undefined) {
      this.frames = [frame]
      gathering.add(this)
    } else {
      this.frames.push(frame)
    }
    this.bytes += frame.length
    gathering.grew(frame.length)
  }

  /** Writes what was gathered. */
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
 * What `ws` writes its frames to, for frames of our own among them; undefined where its own have to be compressed, or
 * where it has another name for it.
 */
function streamOf (socket: WebSocket): Writable | undefined {
  return socket.extensions === '' ? (socket as { _socket?: Writable })._socket : undefined
}
