import type { ChannelModel, ConsumeMessageFields, MessageProperties } from 'amqplib'
import { internals, type ConnectionInternals } from './amqplib-internals.js'
import { uint16, uint32 } from './big-endian.js'
import { BODY_SIZE_AT, DeliveredMessage, FLAGS_AT } from './delivered-message.js'
import { RepeatedString } from './repeated-string.js'

/** AMQP 0-9-1 §2.3.5: a frame is its type, channel and size in 7 bytes, then the payload, then an end octet. */
const FRAME_HEADER_BYTES = 7
const FRAME_END = 0xce
/** §4.2.3: the types of frames. */
const METHOD = 1
const HEADER = 2
const BODY = 3
/** §1.8.3: class `basic`, method `deliver`. */
const BASIC = 60
const DELIVER = BASIC << 16 | 60
/** §1.1: internal-error. */
const INTERNAL_ERROR = 541

/** What amqplib calls the state of a channel that receives no message. */
const IDLE = 'acceptDeliveryOrReturn'

/**
 * Makes a connection read its messages faster. amqplib makes about ten Buffers and eight objects of each message, and
 * decodes all of its properties: that takes longer than to deliver it. Here a message is decoded from the chunk that it
 * arrived in, and its properties only when somebody reads them. Everything else goes amqplib's way: methods, messages that
 * have not arrived whole, larger ones, and whatever is not as expected. `bench/delivery-reader.ts` measures both.
 *
 * Besides, a message whose properties can't be decoded (tables nested deeper than the stack, unknown types) is delivered
 * without them. amqplib would end the connection, and the broker would deliver the message again, for ever.
 * @returns whether amqplib is as expected; if not, nothing is changed
 */
export function readDeliveries (model: ChannelModel): boolean {
  const connection = internals(model)
  const { recvFrame, rest, channels, accept, maxFrameSize } = connection
  if (![recvFrame, accept].every(member => typeof member === 'function') || !Buffer.isBuffer(rest) || !Array.isArray(channels) || typeof maxFrameSize !== 'number') return false
  const reader = new DeliveryReader(connection)
  connection.recvFrame = () => {
    reader.readDeliveries()
    return reader.readFrame()
  }
  return true
}

class DeliveryReader {
  readonly #connection: ConnectionInternals
  /** amqplib's own. */
  readonly #recvFrame: ConnectionInternals['recvFrame']
  readonly #accept: unknown
  // All messages of a consumer have the same tag, and most the same exchange and routing key.
  readonly #consumerTag = new RepeatedString()
  readonly #exchange = new RepeatedString()
  readonly #routingKey = new RepeatedString()

  constructor (connection: ConnectionInternals) {
    this.#connection = connection
    this.#recvFrame = connection.recvFrame
    this.#accept = connection.accept
  }

  /** Hands over each message at the beginning of what was received, until a read gate shuts. */
  readDeliveries (): void {
    const connection = this.#connection
    const { rest, mayRead } = connection
    let at = 0
    while (connection.accept === this.#accept) {
      const end = this.#readDelivery(rest, at)
      if (end === at) break
      at = end
      if (mayRead?.() === false) break
    }
    if (at > 0) connection.rest = rest.subarray(at)
  }

  /** Reads one frame in amqplib's way, and more from the socket if there is no whole one. */
  readFrame (): unknown {
    const connection = this.#connection
    const { rest } = connection
    try {
      return this.#recvFrame.call(connection)
    } catch (error) {
      // Only after a decoding error is the frame out of the buffer. Then the next frame can be read.
      if (connection.rest === rest || rest[0] !== HEADER) throw error
      return { id: BASIC, channel: uint16(rest, 1), size: Number(rest.readBigUInt64BE(BODY_SIZE_AT)), fields: { headers: {} } }
    }
  }

  /**
   * Hands over the message that begins at an offset.
   * @returns where it ends; the same offset if amqplib has to read on
   */
  #readDelivery (chunk: Buffer, at: number): number {
    const methodEnd = frameEnd(chunk, at, METHOD)
    if (methodEnd === -1 || uint32(chunk, at + FRAME_HEADER_BYTES) !== DELIVER) return at
    const channelNumber = uint16(chunk, at + 1)
    const headerEnd = frameEnd(chunk, methodEnd, HEADER)
    if (headerEnd < methodEnd + FLAGS_AT + 2 || uint16(chunk, methodEnd + 1) !== channelNumber || uint16(chunk, methodEnd + FRAME_HEADER_BYTES) !== BASIC) return at
    const end = frameEnd(chunk, headerEnd, BODY)
    if (end === -1 || uint16(chunk, headerEnd + 1) !== channelNumber) return at
    const bodySize = end - headerEnd - FRAME_HEADER_BYTES - 1
    if (uint32(chunk, methodEnd + BODY_SIZE_AT) !== 0 || uint32(chunk, methodEnd + BODY_SIZE_AT + 4) !== bodySize) return at
    const { maxFrameSize } = this.#connection
    if (maxFrameSize > 0 && end - at > maxFrameSize) return at // amqplib checks each frame

    const channel = this.#connection.channels[channelNumber]?.channel
    const fields = this.#readFields(chunk, at + FRAME_HEADER_BYTES + 4, methodEnd - 1)
    if (channel === undefined || fields === undefined || Object.hasOwn(channel, 'accept') || channel.handleMessage.name !== IDLE) return at
    const consumer = channel.consumers.get(fields.consumerTag)
    if (consumer === undefined) return at

    const content = chunk.subarray(headerEnd + FRAME_HEADER_BYTES, end - 1)
    const hasProperties = uint16(chunk, methodEnd + FLAGS_AT) !== 0
    const message = new DeliveredMessage(fields, content, hasProperties ? chunk.subarray(methodEnd, headerEnd) : undefined, this.#decode)
    try {
      consumer(message)
    } catch (error) {
      channel.closeWithError(undefined, 'Error while processing message', INTERNAL_ERROR, error as Error)
    }
    return end
  }

  /** §1.8.3.13: the arguments of `basic.deliver`. */
  #readFields (chunk: Buffer, at: number, end: number): ConsumeMessageFields | undefined {
    const tagAt = at + 1 + chunk[at]!
    const exchangeAt = tagAt + 9
    const routingKeyAt = exchangeAt + 1 + chunk[exchangeAt]!
    if (routingKeyAt + 1 + chunk[routingKeyAt]! !== end) return undefined
    return {
      consumerTag: this.#consumerTag.read(chunk, at),
      deliveryTag: uint32(chunk, tagAt) * 2 ** 32 + uint32(chunk, tagAt + 4),
      redelivered: (chunk[tagAt + 8]! & 1) === 1,
      exchange: this.#exchange.read(chunk, exchangeAt),
      routingKey: this.#routingKey.read(chunk, routingKeyAt)
    }
  }

  /** Decodes the properties in the frame of a content header in amqplib's way. */
  readonly #decode = (frame: Buffer): MessageProperties => {
    try {
      const { fields } = this.#recvFrame.call({ rest: frame, maxFrameSize: 0 } as ConnectionInternals) as { fields: MessageProperties }
      return fields
    } catch {
      return { headers: {} } as MessageProperties
    }
  }
}

/** Where a frame ends; -1 if it is not whole, or of another type. */
function frameEnd (chunk: Buffer, at: number, type: number): number {
  if (at + FRAME_HEADER_BYTES > chunk.length || chunk[at] !== type) return -1
  const end = at + FRAME_HEADER_BYTES + uint32(chunk, at + 3) + 1
  return end <= chunk.length && chunk[end - 1] === FRAME_END ? end : -1
}
