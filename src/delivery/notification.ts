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
  return new Payload(encode(content), typeof content === 'string', id)
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
 * Restores a payload whose content was kept as JSON. Only a string is parsed: the parser is recursive, so a deeply nested
 * content could overflow the stack.
 */
export function payloadFromJson (id: string, json: string): Payload {
  const isString = json.startsWith('"')
  return new Payload(isString ? JSON.parse(json) as string : json, isString, id)
}

/** @throws FST_NOTIFICATION_INVALID_ID */
function assertId (id: unknown): asserts id is string {
  if (!isId(id)) throw new errors.InvalidId(`a string of ${ID_RULE}`, describeWrongId(id))
}

/** @throws FST_NOTIFICATION_INVALID_USER_ID */
export function assertUserId (userId: unknown): asserts userId is string {
  if (!isId(userId)) throw new errors.InvalidUserId(`a string of ${ID_RULE}`, describeWrongId(userId))
}

/** @throws FST_NOTIFICATION_INVALID_GROUP */
export function assertGroup (group: unknown): asserts group is string {
  if (!isId(group)) throw new errors.InvalidGroup(`a string of ${ID_RULE}`, describeWrongId(group))
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
    throw new errors.InvalidContent(describeUnencodable(content, cause), { cause })
  }
  if (text === undefined) throw new errors.InvalidContent(content === undefined ? 'undefined: for no content give null' : describeValue(content))
  return text
}

/** The text that a plain client receives: a string unchanged, any other value as JSON. */
export function toText (content: unknown): string {
  return typeof content === 'string' ? content : JSON.stringify(content)
}

/** Describes a wrong value without quoting it, because it may be personal data. */
export function describeValue (value: unknown): string {
  if (typeof value === 'string') return value === '' ? 'an empty string' : `a string of ${Buffer.byteLength(value)} bytes`
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** Describes a value that is no id, and says what to do with a number: ids of databases often are numbers. */
export function describeWrongId (value: unknown): string {
  const described = describeValue(value)
  return typeof value === 'number' || typeof value === 'bigint' ? `${described}: turn it into a string, by String()` : described
}

/** Says why a content has no JSON form. The text of the error may quote names of its members. */
function describeUnencodable (content: unknown, error: unknown): string {
  const message = error instanceof TypeError ? error.message : ''
  if (/BigInt/.test(message)) return `${typeof content === 'bigint' ? '' : `${describeValue(content)} with `}a bigint: turn it into a string, by String()`
  return `${describeValue(content)} ${/circular/.test(message) ? 'that contains itself' : 'whose toJSON() or a getter throws'}`
}
