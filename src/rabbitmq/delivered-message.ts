import type { ConsumeMessage, ConsumeMessageFields, MessageProperties } from 'amqplib'
import { uint16, uint32 } from './big-endian.js'

/** AMQP 0-9-1 §2.3.5.2: the frame of a content header is its type, channel and size in 7 bytes, then class and weight in 4, then the size of the body in 8. */
export const BODY_SIZE_AT = 7 + 4
/** §4.2.6.1: then which properties there are. */
export const FLAGS_AT = BODY_SIZE_AT + 8

/** The flags of the properties up to the message id, in their order, as in §1.8.3. */
const CONTENT_TYPE = 1 << 15
const CONTENT_ENCODING = 1 << 14
const HEADERS = 1 << 13
const DELIVERY_MODE = 1 << 12
const PRIORITY = 1 << 11
// Correlation id and reply to are short strings too.
const EXPIRATION = 1 << 8
const MESSAGE_ID = 1 << 7

const NONE: MessageProperties = Object.freeze({}) as MessageProperties

/**
 * A message whose properties are decoded when somebody reads them. Most messages are delivered without that, and a table
 * of headers takes longer to decode than the rest of a message.
 */
export class DeliveredMessage implements ConsumeMessage {
  #content: Buffer
  #header: Buffer | undefined
  readonly #decode: (header: Buffer) => MessageProperties
  #properties: MessageProperties | undefined

  /**
   * @param header the frame of its content header; undefined if the message has no properties
   * @param decode decodes it, and never throws
   */
  constructor (
    readonly fields: ConsumeMessageFields,
    content: Buffer,
    header: Buffer | undefined,
    decode: (header: Buffer) => MessageProperties
  ) {
    this.#content = content
    this.#header = header
    this.#decode = decode
  }

  get content (): Buffer {
    return this.#content
  }

  get properties (): MessageProperties {
    return (this.#properties ??= this.#header === undefined ? NONE : this.#decode(this.#header))
  }

  /** Bytes that its properties take while they are not decoded. */
  get headerBytes (): number {
    return this.#header?.length ?? 0
  }

  /** Copies what it needs of the chunk that it arrived in, and forgets the decoded properties, which may take far more memory. */
  detach (): void {
    this.#content = Buffer.from(this.#content)
    if (this.#header !== undefined) this.#header = Buffer.from(this.#header)
    this.#properties = undefined
  }

  /** The same as `properties.contentEncoding`, without decoding the others. */
  get contentEncoding (): string | undefined {
    return this.#shortString(CONTENT_ENCODING)
  }

  /** The same as `properties.headers`. Nothing is decoded where there are none. */
  get headers (): MessageProperties['headers'] {
    return this.#header === undefined || (uint16(this.#header, FLAGS_AT) & HEADERS) === 0 ? undefined : this.properties.headers
  }

  /** The same as `properties.expiration`, without decoding the others. */
  get expiration (): string | undefined {
    return this.#shortString(EXPIRATION)
  }

  /** The same as `properties.messageId`, without decoding the others. */
  get messageId (): string | undefined {
    return this.#shortString(MESSAGE_ID)
  }

  /** Reads a property that is a short string: a length in one byte, then the text. Steps over those before it. */
  #shortString (wanted: number): string | undefined {
    const header = this.#header
    if (header === undefined) return undefined
    const flags = uint16(header, FLAGS_AT)
    if ((flags & wanted) === 0) return undefined
    let at = FLAGS_AT + 2
    for (let flag = CONTENT_TYPE; flag > wanted; flag >>= 1) {
      if ((flags & flag) === 0) continue
      if (flag === HEADERS) at += 4 + uint32(header, at)
      else if (flag === DELIVERY_MODE || flag === PRIORITY) at += 1
      else at += 1 + header[at]!
    }
    return header.toString('utf8', at + 1, at + 1 + header[at]!)
  }
}

/** Makes a message keep no more than its own bytes. Else a short message that waits would keep the whole chunk that it arrived in. */
export function detach (message: ConsumeMessage): void {
  if (message instanceof DeliveredMessage) message.detach()
  else if (message.content.length < message.content.buffer.byteLength) message.content = Buffer.from(message.content)
}

/** The properties that the path of each message reads. */
export function commonProperties (message: ConsumeMessage): Readonly<{ contentEncoding?: unknown, expiration?: unknown, messageId?: unknown, headers?: Readonly<Record<string, unknown>> | undefined }> {
  return message instanceof DeliveredMessage ? message : message.properties
}
