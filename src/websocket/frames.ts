import type { Payload } from '../delivery/payload.js'
import { allocate } from './buffer-pool.js'
import { encodeNotification } from './protocol.js'

/** Final frame, text (RFC 6455 §5.2). */
const FIN_TEXT = 0x81

/** Payloads up to 125 bytes say their length in the second byte, up to 65,535 in two more, larger ones in eight (RFC 6455 §5.2). */
const LENGTH_IN_TWO = 126
const LENGTH_IN_EIGHT = 127

/**
 * Node writes a Latin-1 string up to so many bytes from its stack: without a Buffer, whose making and collecting would
 * cost 0.3 to 0.5 µs.
 */
const MAX_STRING = 16_384

/** A chunk of a stream: bytes, or bytes as the characters of a Latin-1 string. */
export type Chunk = Buffer | string

/**
 * A text as a server's WebSocket frame: unmasked, not compressed, header and payload in one chunk, so that it takes
 * one `write`. `ws` makes two of it, and to have the kernel gather them costs 1 µs more.
 */
export class TextFrame {
  /** In bytes of UTF-8. */
  private readonly textLength: number
  private whole: Chunk | undefined

  constructor (readonly text: string) {
    this.textLength = Buffer.byteLength(text)
  }

  /** Bytes of the frame. */
  get length (): number {
    return headerLength(this.textLength) + this.textLength
  }

  /** Whether its bytes are the characters of a Latin-1 string: those of an ASCII text are. */
  get isString (): boolean {
    return this.textLength === this.text.length && this.length <= MAX_STRING
  }

  /** The frame by itself: made once, for however many sockets. */
  get chunk (): Chunk {
    return (this.whole ??= this.isString ? this.string : this.buffer)
  }

  /** {@link isString} */
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
   * Writes the frame into a Buffer among others.
   * @returns where the next one begins
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
      target.writeUInt32BE(0, offset + 2) // no string is that long
      target.writeUInt32BE(length, offset + 6)
    }
    return start + target.write(text, start)
  }
}

/** Frames one after the other in one chunk: to have the kernel gather them costs more. */
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

/** The frames of one payload: each is encoded at most once, for however many sockets. */
export class PayloadFrames {
  #plain: TextFrame | undefined
  #rich: TextFrame | undefined
  #redelivered: TextFrame | undefined

  constructor (readonly payload: Payload) {}

  /** For a client that offered no subprotocol. */
  get plain (): TextFrame {
    return (this.#plain ??= new TextFrame(this.payload.text))
  }

  /** For a client of `notification.v1`. */
  get rich (): TextFrame {
    return (this.#rich ??= new TextFrame(encodeNotification(this.payload, false)))
  }

  /** The same, where the client may have seen it before. */
  get redelivered (): TextFrame {
    return (this.#redelivered ??= new TextFrame(encodeNotification(this.payload, true)))
  }
}

let latest: PayloadFrames | undefined

/**
 * Gets the frames of a payload. The connections of a user, and all recipients of one content, are sent to one after the
 * other, so it is enough to remember the frames of the latest payload.
 */
export function framesOf (payload: Payload): PayloadFrames {
  if (latest?.payload !== payload) latest = new PayloadFrames(payload)
  return latest
}
