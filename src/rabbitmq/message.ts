import { isUtf8 } from 'node:buffer'
import { Type, type Static } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import type { ConsumeMessage } from 'amqplib'
import { errors } from '../errors.js'
import { fitsId, Id, ID_RULE, isId } from '../ids.js'
import { Payload } from '../delivery/payload.js'

/** What arrives on the queue, as JSON in UTF-8. Other members are ignored. */
export const MessageSchema = Type.Object({
  userId: Id,
  content: Type.Unknown({ description: 'a string, or any other JSON value' }),
  id: Type.Optional(Id)
})
export type Message = Static<typeof MessageSchema>

const message = TypeCompiler.Compile(MessageSchema)

/** A valid message: what is said, and to whom. */
export interface Notification {
  readonly userId: string
  readonly payload: Payload
  /** What another instance needs to go on with its trace, by the propagator's names. */
  readonly trace?: Readonly<Record<string, string>> | undefined
}

/** Why a message can't be used; the `x-notification-reason` header of its dead letter. */
export type InvalidReason = 'too-large' | 'invalid-utf8' | 'invalid-json' | 'invalid-message'

/** A message that can't be used. `detail` says why in words, and never quotes the message. */
export class InvalidMessage {
  constructor (readonly reason: InvalidReason, readonly detail: string) {}
}

/**
 * Bytes of the queue to a notification.
 * @param delivery what the broker delivered
 * @param maxBytes the largest body to accept
 * @returns the notification, or what is wrong with the message; never throws
 */
export function decode ({ content, properties }: ConsumeMessage, maxBytes: number): Notification | InvalidMessage {
  if (content.length > maxBytes) return new InvalidMessage('too-large', `${content.length} bytes, over the limit of ${maxBytes}`)
  if (!isUtf8(content)) return new InvalidMessage('invalid-utf8', 'the body is not UTF-8')

  let value: unknown
  try {
    value = JSON.parse(content.toString())
  } catch {
    // The parser's own words quote the body.
    return new InvalidMessage('invalid-json', content.length === 0 ? 'the body is empty' : 'the body is not JSON')
  }
  if (!message.Check(value)) return new InvalidMessage('invalid-message', describe(value))
  if (!fitsId(value.userId)) return new InvalidMessage('invalid-message', `userId must be ${ID_RULE}`)
  if (value.id !== undefined && !fitsId(value.id)) return new InvalidMessage('invalid-message', `id must be ${ID_RULE}`)

  let text: string
  try {
    text = toText(value.content)
  } catch {
    // The parser has no limit of depth; the serializer ends at that of the stack.
    return new InvalidMessage('invalid-message', 'content is nested too deeply')
  }
  const id = value.id ?? (isId(properties.messageId) ? properties.messageId : undefined)
  return { userId: value.userId, payload: new Payload(value.content, text, id) }
}

function describe (value: unknown): string {
  const { path, schema } = message.Errors(value).First()!
  return `${path === '' ? 'the body' : path.slice(1)} must be ${schema.description ?? 'a JSON object with userId and content'}`
}

/**
 * A notification that did not come from the queue.
 * @param userId 1 to 255 bytes of UTF-8 without control characters
 * @param content a string, or any value with a JSON form
 * @param id like `userId`; a fresh UUID where left out
 * @throws FST_NOTIFICATION_INVALID_USER_ID, FST_NOTIFICATION_INVALID_ID, FST_NOTIFICATION_INVALID_CONTENT
 */
export function compose (userId: string, content: unknown, id?: string): Notification {
  assertUserId(userId)
  return { userId, payload: composePayload(content, id) }
}

/**
 * What one or many are to be told.
 * @throws FST_NOTIFICATION_INVALID_ID, FST_NOTIFICATION_INVALID_CONTENT
 */
export function composePayload (content: unknown, id?: string): Payload {
  if (id !== undefined) assertId(id)
  return new Payload(content, encode(content), id)
}

/** A notification as the message that it might have been. */
export function toMessage ({ userId, payload: { id, json } }: { userId: string, payload: { id: string, json: string } }): Buffer {
  return Buffer.from(`{"userId":${JSON.stringify(userId)},"content":${json},"id":${JSON.stringify(id)}}`)
}

/** A content that was kept as JSON, as the notification that it was. */
export function fromJson (userId: string, id: string, json: string): Notification {
  return { userId, payload: payloadFromJson(id, json) }
}

/** The same, for whomever. It is not written anew: of one that is nested deeply, only who has enough of the stack left could. */
export function payloadFromJson (id: string, json: string): Payload {
  const content: unknown = JSON.parse(json)
  return new Payload(content, typeof content === 'string' ? content : json, id)
}

/** @throws FST_NOTIFICATION_INVALID_ID */
function assertId (id: unknown): asserts id is string {
  if (!isId(id)) throw new errors.InvalidId(ID_RULE, kind(id))
}

/** @throws FST_NOTIFICATION_INVALID_USER_ID */
export function assertUserId (userId: unknown): asserts userId is string {
  if (!isId(userId)) throw new errors.InvalidUserId(ID_RULE, kind(userId))
}

/**
 * A content that did not come from JSON, as the text that a WebSocket receives.
 * @throws FST_NOTIFICATION_INVALID_CONTENT
 */
function encode (content: unknown): string {
  let text: string | undefined
  try {
    text = toText(content)
  } catch (cause) {
    throw new errors.InvalidContent(kind(content), { cause })
  }
  if (text === undefined) throw new errors.InvalidContent(kind(content))
  return text
}

function toText (content: unknown): string {
  return typeof content === 'string' ? content : JSON.stringify(content)
}

/** What a wrong value is, without quoting it: it may be somebody's data. */
export function kind (value: unknown): string {
  if (typeof value === 'string') return `a string of ${Buffer.byteLength(value)} bytes`
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value
}
