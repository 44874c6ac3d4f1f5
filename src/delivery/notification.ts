import { errors } from '../errors.js'
import { ID_RULE, isId } from '../ids.js'
import { Payload } from './payload.js'

/** What is said, and to whom. */
export interface Notification {
  readonly userId: string
  /** What is said, under its id: one object for all users who are told the same. */
  readonly payload: Payload
  /** The trace that it belongs to, by the propagator's names, for peers. */
  readonly trace?: Readonly<Record<string, string>> | undefined
}

/**
 * Makes a notification that does not come from a queue.
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
 * Makes what one or many users are told.
 * @throws FST_NOTIFICATION_INVALID_ID, FST_NOTIFICATION_INVALID_CONTENT
 */
export function composePayload (content: unknown, id?: string): Payload {
  if (id !== undefined) assertId(id)
  return new Payload(content, encode(content), id)
}

/** Turns a notification into a message of the queue. */
export function toMessage ({ userId, payload: { id, json } }: { userId: string, payload: Pick<Payload, 'id' | 'json'> }): Buffer {
  return Buffer.from(`{"userId":${JSON.stringify(userId)},"content":${json},"id":${JSON.stringify(id)}}`)
}

/** Turns a content that was kept as JSON into the notification that it was. */
export function fromJson (userId: string, id: string, json: string): Notification {
  return { userId, payload: payloadFromJson(id, json) }
}

/**
 * Turns a content that was kept as JSON into a payload. The JSON is not written again: the serializer is recursive, so a
 * deeply nested content could exceed what is left of the stack.
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
 * Encodes a content that does not come from JSON as the text that a WebSocket receives.
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

/** The text that a plain client receives: a string as it is, anything else as its JSON. */
export function toText (content: unknown): string {
  return typeof content === 'string' ? content : JSON.stringify(content)
}

/** Says what a wrong value is, without quoting it: it may be somebody's data. */
export function describeValue (value: unknown): string {
  if (typeof value === 'string') return `a string of ${Buffer.byteLength(value)} bytes`
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value
}
