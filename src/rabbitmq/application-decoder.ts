import { Multicast } from '../delivery/multicast.js'
import type { Notification } from '../delivery/notification.js'
import { Payload } from '../delivery/payload.js'
import { errors } from '../errors.js'
import type { Decode, DecodedMessage } from '../options/decode.js'
import { withoutText } from '../without-text.js'
import { readBody, readText } from './body.js'
import { audienceOf, checkFields, idOf } from './fields.js'
import { InvalidMessage } from './invalid-message.js'
import { decodeMessage } from './message.js'
import { hasOwnForm } from './own-form.js'
import type { QueueMessage } from './queue-message.js'
import { Received } from './received.js'

/** Maximum length of the text of an application's error in a header. */
const MAX_DETAIL = 500

/** A notification, or a multicast; what is wrong with the message, or undefined if the message is not for a user. */
export type Decoded = Notification | Multicast | InvalidMessage | undefined

/** Decodes messages by the option `decode`. */
export class ApplicationDecoder {
  readonly #decode: Decode
  readonly #maxBytes: number
  readonly #timeout: number

  /**
   * @param maxBytes the largest body to accept
   * @param timeout how long a promise of `decode` may take, in milliseconds
   */
  constructor (decode: Decode, maxBytes: number, timeout: number) {
    this.#decode = decode
    this.#maxBytes = maxBytes
    this.#timeout = timeout
  }

  /** Never throws and never rejects. Returns a promise only if `decode` does. */
  decode ({ message, queue, gone }: QueueMessage): Decoded | Promise<Decoded> {
    if (hasOwnForm(message.properties.headers)) return decodeMessage(message, this.#maxBytes)
    let received: Received
    try {
      received = new Received(message, readBody(message.content, message.properties.contentEncoding, this.#maxBytes), queue)
    } catch (invalid) {
      return invalid as InvalidMessage
    }
    try {
      const decoded = this.#decode(received)
      return isThenable(decoded) ? this.#later(decoded, received, gone) : toNotification(decoded, received)
    } catch (error) {
      return undecodable(error)
    }
  }

  async #later (decoding: PromiseLike<DecodedMessage | undefined>, received: Received, gone: AbortSignal): Promise<Decoded> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new errors.Undecodable(`decode took longer than limits.decodeTimeout, ${this.#timeout} ms`)), this.#timeout)
    })
    // If the channel dies, nobody waits for the result: the broker delivers the message again.
    const stopWaiting = () => clearTimeout(timer)
    gone.addEventListener('abort', stopWaiting)
    try {
      return toNotification(await Promise.race([decoding, late]), received)
    } catch (error) {
      return undecodable(error)
    } finally {
      clearTimeout(timer)
      gone.removeEventListener('abort', stopWaiting)
    }
  }
}

function isThenable (value: unknown): value is PromiseLike<DecodedMessage | undefined> {
  return typeof (value as { then?: unknown } | undefined)?.then === 'function'
}

/** The text of an error of the application may quote the message: it is in the dead letter, not in the log. */
function undecodable (error: unknown): InvalidMessage {
  const { name, code } = withoutText(error)
  const logged = error instanceof errors.Undecodable ? error.message : `decode threw ${[name, code].join(' ').trim()}`
  const { message = String(error) } = (error ?? {}) as { message?: unknown }
  return new InvalidMessage('undecodable', String(message).slice(0, MAX_DETAIL).toWellFormed() || logged, undefined, logged)
}

function toNotification (decoded: DecodedMessage | undefined, received: Received): Decoded {
  if (decoded === undefined) return undefined
  const wrong = checkFields(decoded, 'what decode returned')
  if (wrong !== undefined) return wrong
  const id = idOf(decoded.id, received.properties)
  try {
    const payload = toPayload(decoded.content, id, received)
    return decoded.userId == null ? new Multicast(audienceOf(decoded), payload) : { userId: String(decoded.userId), payload }
  } catch (error) {
    if (error instanceof InvalidMessage) return error
    return new InvalidMessage('invalid-message', 'content has no JSON form, or is nested too deeply')
  }
}

/** @throws {@link InvalidMessage}, or the error of the serializer */
function toPayload (content: unknown, id: string | undefined, received: Received): Payload {
  if (typeof content === 'string') return new Payload(content, true, id)
  if (content instanceof Uint8Array) return fromBytes(content, received.properties.contentType, id)
  const json = typeof content === 'object' && content !== null ? received.toJson(content) : JSON.stringify(content)
  if (json === undefined) throw new TypeError('no JSON form')
  return new Payload(json, false, id)
}

/**
 * Passes bytes on untouched: as JSON if they are JSON, and as text otherwise.
 * @throws {@link InvalidMessage}
 */
function fromBytes (bytes: Uint8Array, contentType: unknown, id: string | undefined): Payload {
  const text = readText(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), 'content')
  if (typeof contentType === 'string' && /^text\//i.test(contentType)) return new Payload(text, true, id)
  try {
    const value: unknown = JSON.parse(text)
    return new Payload(typeof value === 'string' ? value : text.trim(), typeof value === 'string', id)
  } catch {
    return new Payload(text, true, id)
  }
}
