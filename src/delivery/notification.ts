import { errors } from '../errors.js'
import { ID_RULE, isId } from '../ids.js'
import { Payload } from './payload.js'

/** A payload for one user. */
export interface Notification {
  readonly userId: string
  /** The content and its id. All users who get the same content share one object. */
  readonly payload: Payload
  /** The trace context, by the propagator's names, for peers. */
  readonly trace?: Readonly<Record<string, string>> | undefined
}

/**
 * Creates a notification that does not come from a queue.
 * @param userId 1 to 255 bytes of UTF-8 without control characters
 * @param content a string, or any value with a JSON form
 * @param id like `userId`; a fresh UUID if omitted
 * @throws FST_NOTIFICATION_INVALID_USER_ID, FST_NOTIFICATION_INVALID_ID, FST_NOTIFICATION_INVALID_CONTENT
 */
export function compose (userId: string, content: unknown, id?: string): Notification {
  assertUserId(userId)
  return { userId, payload: composePayload(content, id) }
}

/**
 * Creates a payload for one or many users.
 * @throws FST_NOTIFICATION_INVALID_ID, FST_NOTIFICATION_INVALID_CONTENT
 */
export function composePayload (content: unknown, id?: string): Payload {
  if (id !== undefined) assertId(id)
  return new Payload(content, encode(content), id)
}

/** Encodes a notification as a message of the queue. */
export function toMessage ({ userId, payload: { id, json } }: { userId: string, payload: Pick<Payload, 'id' | 'json'> }): Buffer {
  return Buffer.from(`{"userId":${JSON.stringify(userId)},"content":${json},"id":${JSON.stringify(id)}}`)
}

/** Restores a notification whose content was kept as JSON. */
export function fromJson (userId: string, id: string, json: string): Notification {
  return { userId, payload: payloadFromJson(id, json) }
}

/**
 * Restores a payload whose content was kept as JSON. It reuses the JSON: the serializer is recursive, so a deeply
 * nested content could overflow the stack.
 */
export function payloadFromJson (id: string, json: string): Payload {
  const content: unknown = JSON.parse(json)
  return new Payload(content, typeof content === 'string' ? content : json, id)
}

/** @throws FST_NOTIFICATION_INVALID_ID */
function assertId (id: unknown): asserts id is string {
  if (!isId(id)) throw new errors.InvalidId(ID_RULE, describeValue(id))
}

/** @throws FST_NOTIFICATION_INVALID_USER_ID */
export function assertUserId (userId: unknown): asserts userId is string {
  if (!isId(userId)) throw new errors.InvalidUserId(ID_RULE, describeValue(userId))
}

/**
 * Encodes a content that does not come from JSON as the text for a WebSocket.
 * @throws FST_NOTIFICATION_INVALID_CONTENT
 */
function encode (content: unknown): string {
  let text: string | undefined
  try {
    text = toText(content)
  } catch (cause) {
    throw new errors.InvalidContent(describeValue(content), { cause })
  }
  if (text === undefined) throw new errors.InvalidContent(describeValue(content))
  return text
}

/** The text that a plain client receives: a string unchanged, any other value as JSON. */
export function toText (content: unknown): string {
  return typeof content === 'string' ? content : JSON.stringify(content)
}

/** Describes a wrong value without quoting it, because it may be personal data. */
export function describeValue (value: unknown): string {
  if (typeof value === 'string') return `a string of ${Buffer.byteLength(value)} bytes`
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value
}
