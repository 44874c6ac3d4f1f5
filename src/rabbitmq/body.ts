import { isUtf8 } from 'node:buffer'
import { brotliDecompressSync, gunzipSync, inflateRawSync, inflateSync, type ZlibOptions } from 'node:zlib'
import { InvalidMessage } from './invalid-message.js'

type Decompress = (body: Buffer, options: ZlibOptions) => Buffer

/** RFC 9110 §8.4.1. */
const DECOMPRESS = new Map<string, Decompress>([
  ['gzip', gunzipSync],
  ['x-gzip', gunzipSync],
  ['deflate', inflateAny],
  ['br', brotliDecompressSync]
])

/** Values that name no compression. Celery and Spring put the charset here. */
const PLAIN: ReadonlySet<string> = new Set(['', 'identity', 'utf-8', 'utf8', 'us-ascii', 'ascii', '8bit', 'binary'])

/**
 * Decompresses the body of a message, if its property `contentEncoding` says so. Runs at once, like the parser of JSON, so
 * that messages stay in order; the limit bounds how long it takes.
 * @param maxBytes the largest body to accept, before and after
 * @throws {@link InvalidMessage}
 */
export function readBody (body: Buffer, contentEncoding: unknown, maxBytes: number): Buffer {
  if (body.length > maxBytes) throw new InvalidMessage('too-large', `${body.length} bytes, over the limit of ${maxBytes}`)
  if (contentEncoding === undefined) return body
  // Spring appends the charset: 'gzip:UTF-8', or 'gzip, UTF-8'.
  const encodings = String(contentEncoding).toLowerCase().split(/[\s,:;]+/).filter(name => !PLAIN.has(name))
  if (encodings.length === 0) return body
  const [name] = encodings as [string, ...string[]]
  const decompress = DECOMPRESS.get(name)
  if (decompress === undefined || encodings.length > 1) {
    throw new InvalidMessage('invalid-encoding', `content-encoding is ${nameForDetail(encodings)}: it must be gzip, deflate or br, or left out`)
  }
  try {
    return decompress(body, { maxOutputLength: maxBytes })
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE') throw new InvalidMessage('too-large', `over the limit of ${maxBytes} bytes, from ${body.length} bytes of ${name}`)
    throw new InvalidMessage('invalid-encoding', `content-encoding is ${name}, and the body is not ${name}`)
  }
}

/**
 * Reads a body as text, without a byte order mark.
 * @throws {@link InvalidMessage}
 */
export function readText (body: Buffer, what = 'the body'): string {
  const text = body.toString()
  // Each invalid sequence becomes a replacement character. To look for one is cheaper than to check all bytes.
  if (text.includes(REPLACEMENT) && !isUtf8(body)) throw new InvalidMessage('invalid-utf8', `${what} is not UTF-8`)
  return text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text
}

const REPLACEMENT = '\ufffd'

/** RFC 8259 §8.1: a parser may ignore it. .NET and Java write it. */
const BYTE_ORDER_MARK = 0xfeff

/** RFC 9110 §8.4.1.2: deflate is in the zlib format, and some implementations leave that format out. */
function inflateAny (body: Buffer, options: ZlibOptions): Buffer {
  const isZlib = (body[0]! & 0x0f) === 8 // RFC 1950 §2.2: the compression method
  return isZlib ? inflateSync(body, options) : inflateRawSync(body, options)
}

/** Anybody may publish any text as an encoding: only what looks like a name is quoted. */
function nameForDetail (encodings: readonly string[]): string {
  if (encodings.length > 1) return 'more than one'
  return /^[\w.+-]{1,40}$/.test(encodings[0]!) ? `'${encodings[0]}'` : 'something else'
}
