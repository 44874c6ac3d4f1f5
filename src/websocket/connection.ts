import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Subscriber } from '../delivery/doors.js'
import type { Payload } from '../delivery/payload.js'
import { createConnectionId } from './connection-id.js'
import { frameEncoder, joinFrames, TextFrame } from './frames.js'
import { SUBPROTOCOL, type ServerFrame } from './protocol.js'
import type { WriteBatcher } from './write-batcher.js'

/** What applies to all connections. */
export interface ConnectionRules {
  /** Maximum number of bytes that may wait for a client to read them. */
  readonly bufferedBytes: number
  /** Whether anything depends on acks: the settling of notifications, or what other devices show. */
  readonly heedsAcks: boolean
  /** More bytes wait for the client of a connection. */
  onSlow (connection: Connection): void
  /** Bytes have been written to a socket that is not batched. */
  written (bytes: number): void
}

/** Length of a ping's payload: nobody guesses it who does not read it. */
const CHALLENGE_BYTES = 8

/** The sign of life, made once for all connections. */
const PING = new TextFrame('{"type":"ping"}')

/** Maximum number of ids that a client may acknowledge without being counted. Its acks come later than what it is sent. */
const MAX_CREDIT = 100_000

/** Maximum number of ids that are remembered for each connection. Acks of older ones tell other devices nothing. */
const MAX_CLAIMS = 1_000

/** One WebSocket of one user. */
export class Connection implements Subscriber {
  readonly id = createConnectionId()
  /** Whether its client acknowledges notifications: it speaks `notification.v1`. */
  readonly acknowledges: boolean
  unackedCount = 0
  /** The code that this server closes it with. */
  closeCode: number | undefined
  /** Whether its client has been welcomed, which is the first thing that a client is told. */
  private isWelcomed = false
  /** What the client has to send back in its pong; undefined if no pong is awaited. */
  private challenge: string | undefined
  /** The slot of the heartbeat that pings it. */
  slot = 0
  /** The second in which its client last sent something, and how many messages it has sent in it. */
  private second = 0
  private inboundCount = 0
  /** How many more ids its client may answer: one for each notification sent. */
  private credit = 0
  /** What it was sent, and nobody has acknowledged, the oldest first; undefined if there is nothing. */
  private claims: Set<string> | undefined
  /** Where frames are written to directly; undefined if `ws` must write them. */
  private readonly stream: Writable | undefined
  /** The frames of this turn that are not written yet; undefined if there are none. */
  private frames: TextFrame[] | undefined
  /** Bytes of `frames`. */
  private bytes = 0

  /**
   * @param expiresAt when its user's credentials expire, in milliseconds since 1970
   * @param writeBatcher undefined if the application writes to the socket too: a batched write would come after its writes
   * @param sessionId what `authenticate` says of its session, for `disconnect()`; never logged
   */
  constructor (
    readonly userId: string,
    readonly socket: WebSocket,
    readonly expiresAt: number,
    private readonly rules: ConnectionRules,
    private readonly writeBatcher?: WriteBatcher,
    readonly sessionId?: string | undefined
  ) {
    this.stream = streamOf(socket)
    this.acknowledges = this.isOwn && socket.protocol === SUBPROTOCOL
  }

  /** Whether it is of the plugin's route, and so nobody else writes to its socket. */
  get isOwn (): boolean {
    return this.writeBatcher !== undefined
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
    if (this.waitingBytes > this.rules.bufferedBytes) {
      this.rules.onSlow(this)
      return false
    }
    if (this.acknowledges) {
      if (this.credit < MAX_CREDIT) this.credit++
      if (this.rules.heedsAcks) this.remember(payload.id)
    }
    this.write(this.acknowledges ? frameEncoder.rich(payload, redelivered) : frameEncoder.plain(payload))
    return true
  }

  private remember (id: string): void {
    const claims = this.claims ??= new Set()
    claims.add(id)
    if (claims.size > MAX_CLAIMS) claims.delete(claims.values().next().value!)
  }

  /** Tells the client that other connections of the user have acknowledged notifications. */
  dismiss (ids: readonly string[], isEarlier = false): void {
    for (const id of ids) this.spendClaim(id)
    if (this.isTold) this.write(frameEncoder.dismissal(ids, isEarlier))
  }

  /** Sends a frame that is not a notification. A plain client gets none. */
  tell (frame: ServerFrame): void {
    if (frame.type === 'welcome') this.isWelcomed = true
    if (this.isTold) this.write(new TextFrame(JSON.stringify(frame)))
  }

  /** Whether the client gets frames that are not notifications. */
  private get isTold (): boolean {
    return this.acknowledges && this.isOpen && this.waitingBytes <= this.rules.bufferedBytes
  }

  /**
   * Uses up credit for what the client has sent.
   * @returns how much of it is beyond the credit
   */
  spendCredit (cost: number): number {
    const spent = Math.min(cost, this.credit)
    this.credit -= spent
    return cost - spent
  }

  /**
   * Counts what the client has sent.
   * @returns how many messages the client has sent in this second
   */
  countInbound (cost: number): number {
    const now = Math.floor(performance.now() / 1_000)
    if (now !== this.second) {
      this.second = now
      this.inboundCount = 0
    }
    this.inboundCount += cost
    return this.inboundCount
  }

  spendClaim (id: string): boolean {
    return this.claims?.delete(id) === true
  }

  /** Bytes that this process has not sent to the client yet. */
  get waitingBytes (): number {
    return this.socket.bufferedAmount + this.bytes
  }

  /** Whether the stream asks for a pause: as many bytes wait as its high-water mark. */
  get isCongested (): boolean {
    return this.stream !== undefined && this.waitingBytes >= this.stream.writableHighWaterMark
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
    if (this.stream !== undefined && this.writeBatcher !== undefined) return this.batch(this.writeBatcher, frame)
    if (this.stream === undefined) this.socket.send(frame.text)
    else this.stream.write(frame.chunk, 'latin1')
    this.rules.written(frame.length)
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

  /** Asks the client whether it is still there, and shows a page that the server is: a page sees no WebSocket pings. */
  ping (): void {
    if (!this.isOpen) return
    const challenge = randomBytes(CHALLENGE_BYTES)
    this.challenge = challenge.toString('latin1')
    this.socket.ping(challenge)
    if (this.isWelcomed && this.isTold) this.write(PING)
  }

  /** Whether the client has been pinged and has not answered yet. */
  get awaitsPong (): boolean {
    return this.challenge !== undefined
  }

  /**
   * The client has sent a pong. A pong without the payload of the ping is no sign that the client reads (RFC 6455 §5.5.3
   * allows such pongs).
   */
  receivePong (payload: Buffer): void {
    if (payload.toString('latin1') === this.challenge) this.challenge = undefined
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
