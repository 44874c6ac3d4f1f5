import type { Payload } from '../delivery/payload.js'
import { allocate } from './buffer-pool.js'
import { encodeDismissal, encodeNotification } from './protocol.js'

/** The first byte of a text message that is one frame: FIN, and the opcode for text (RFC 6455 §5.2). */
const FIN_TEXT = 0x81

/**
 * The second byte of a frame holds a payload length of up to 125 bytes. 126 in that byte means that the next two bytes
 * hold the length, up to 65,535. 127 means that the next eight bytes hold the length (RFC 6455 §5.2).
 */
const LENGTH_IN_TWO = 126
const LENGTH_IN_EIGHT = 127

/**
 * Maximum length of a Latin-1 string that Node writes from its stack, in bytes. Such a write needs no Buffer. To make
 * and collect a Buffer would cost 0.3 to 0.5 µs.
 */
const MAX_STRING = 16_384

/** A chunk of a stream: a Buffer, or a Latin-1 string with one character for each byte. */
export type Chunk = Buffer | string

/**
 * A text as a WebSocket frame of a server: unmasked and not compressed. Header and payload are in one chunk, so one
 * `write` sends both. `ws` makes two chunks, and the kernel has to gather them, which costs 1 µs more.
 */
export class TextFrame {
  /** Length of the text, in bytes of UTF-8. */
  private readonly textLength: number
  private whole: Chunk | undefined

  constructor (readonly text: string) {
    this.textLength = Buffer.byteLength(text)
  }

  /** Length of the frame, in bytes. */
  get length (): number {
    return headerLength(this.textLength) + this.textLength
  }

  /** Whether the frame can be a Latin-1 string: its text is ASCII, and it is short enough for {@link MAX_STRING}. */
  get isString (): boolean {
    return this.textLength === this.text.length && this.length <= MAX_STRING
  }

  /** The frame as one chunk. It is made once, for any number of sockets. */
  get chunk (): Chunk {
    return (this.whole ??= this.isString ? this.string : this.buffer)
  }

  /** The frame as a Latin-1 string. Valid only if {@link isString} is true. */
  get string (): string {
    const { text, textLength: length } = this
    const header = length < LENGTH_IN_TWO ? String.fromCharCode(FIN_TEXT, length) : String.fromCharCode(FIN_TEXT, LENGTH_IN_TWO, length >> 8, length & 0xff)
    return header + text
  }

  private get buffer (): Buffer {
    const buffer = allocate(this.length)
    this.writeTo(buffer, 0)
    return buffer
  }

  /**
   * Writes the frame into a Buffer that several frames share.
   * @returns the offset of the next frame
   */
  writeTo (target: Buffer, offset: number): number {
    const { text, textLength: length } = this
    const start = offset + headerLength(length)
    target[offset] = FIN_TEXT
    if (length < LENGTH_IN_TWO) {
      target[offset + 1] = length
    } else if (length < 65_536) {
      target[offset + 1] = LENGTH_IN_TWO
      target.writeUInt16BE(length, offset + 2)
    } else {
      target[offset + 1] = LENGTH_IN_EIGHT
      target.writeUInt32BE(0, offset + 2) // the upper half of the length is 0: no string is that long
      target.writeUInt32BE(length, offset + 6)
    }
    return start + target.write(text, start)
  }
}

/** Joins frames into one chunk. Several chunks would cost more, because the kernel would have to gather them. */
export function joinFrames (frames: readonly TextFrame[], length: number): Chunk {
  if (length <= MAX_STRING && frames.every(frame => frame.isString)) {
    let joined = ''
    for (const frame of frames) joined += frame.string
    return joined
  }
  const joined = allocate(length)
  let offset = 0
  for (const frame of frames) offset = frame.writeTo(joined, offset)
  return joined
}

function headerLength (length: number): number {
  return length < LENGTH_IN_TWO ? 2 : length < 65_536 ? 4 : 10
}

/**
 * Encodes the frames of payloads, each frame at most once for any number of sockets. Only the frames of the latest
 * payload are kept. That is enough, because a payload is sent to all connections of a user, and to all recipients of one
 * content, in a row.
 */
class FrameEncoder {
  #latest: Payload | undefined
  #plain: TextFrame | undefined
  #rich: TextFrame | undefined
  #redelivered: TextFrame | undefined
  #dismissed: readonly string[] | undefined
  #dismissal: TextFrame | undefined

  /** The frame for a plain client, which offered no subprotocol. */
  plain (payload: Payload): TextFrame {
    this.#begin(payload)
    return (this.#plain ??= new TextFrame(payload.text))
  }

  /**
   * The frame for a client that speaks `notification.v1`.
   * @param redelivered whether the client may have seen the notification before
   */
  rich (payload: Payload, redelivered: boolean): TextFrame {
    this.#begin(payload)
    if (redelivered) return (this.#redelivered ??= new TextFrame(encodeNotification(payload, true)))
    return (this.#rich ??= new TextFrame(encodeNotification(payload, false)))
  }

  /**
   * The frame that tells a client what others have acknowledged.
   * @param ids the same array for all connections that are told so in a row
   */
  dismissal (ids: readonly string[], isEarlier: boolean): TextFrame {
    if (isEarlier) return new TextFrame(encodeDismissal(ids, true))
    if (this.#dismissed !== ids) this.#dismissal = new TextFrame(encodeDismissal(ids, false))
    this.#dismissed = ids
    return this.#dismissal!
  }

  /** Forgets the frames of the payload before. */
  #begin (payload: Payload): void {
    if (this.#latest === payload) return
    this.#latest = payload
    this.#plain = this.#rich = this.#redelivered = undefined
  }
}

export const frameEncoder = new FrameEncoder()
