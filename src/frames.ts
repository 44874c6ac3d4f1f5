import { allocate } from './slab.js'

/** Final frame, text (RFC 6455 §5.2). */
const FIN_TEXT = 0x81

/** Payloads up to 125 bytes say their length in the second byte, up to 65,535 in two more, larger ones in eight (RFC 6455 §5.2). */
const LENGTH_IN_TWO = 126
const LENGTH_IN_EIGHT = 127

/**
 * A text as a server's WebSocket frame: unmasked, not compressed, header and payload in one Buffer, so that it takes
 * one `write`. `ws` makes two of it, and to have the kernel gather them costs 1 µs more.
 */
export class TextFrame {
  /** In bytes of UTF-8. */
  private readonly textLength: number
  private bytes: Buffer | undefined

  constructor (readonly text: string) {
    this.textLength = Buffer.byteLength(text)
  }

  /** Bytes of the frame. */
  get length (): number {
    return headerLength(this.textLength) + this.textLength
  }

  /** The frame by itself: made once, for however many sockets. */
  get buffer (): Buffer {
    if (this.bytes === undefined) {
      this.bytes = allocate(this.length)
      this.writeTo(this.bytes, 0)
    }
    return this.bytes
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

/** Frames one after the other in one Buffer: to have the kernel gather them costs more. */
export function joinFrames (frames: readonly TextFrame[], length: number): Buffer {
  const joined = allocate(length)
  let offset = 0
  for (const frame of frames) offset = frame.writeTo(joined, offset)
  return joined
}

function headerLength (length: number): number {
  return length < LENGTH_IN_TWO ? 2 : length < 65_536 ? 4 : 10
}
