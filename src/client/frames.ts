export const SUBPROTOCOL = 'notification.v1'

export interface Welcome {
  readonly type: 'welcome'
  readonly connectionId: string
  /** Without any frame for this long, in milliseconds, the connection is dead. */
  readonly silenceMs?: number
  /** The largest frame that the server accepts. */
  readonly frameBytes?: number
  /** How many notifications the server leaves unacknowledged, where it waits for acks. */
  readonly maxUnacked?: number
  /** How long the server waits for an ack, in milliseconds. */
  readonly ackTimeoutMs?: number
}

export type ServerFrame = Welcome |
  { readonly type: 'notification', readonly id: string, readonly content: unknown, readonly redelivered?: boolean } |
  { readonly type: 'dismiss', readonly ids: readonly string[], readonly earlier?: boolean } |
  { readonly type: 'error', readonly code: string, readonly message: string }

/** For each type of frame, the member that must be a string; of `dismiss`, an array. */
const required: Record<string, string> = { welcome: 'connectionId', notification: 'id', dismiss: 'ids', error: 'code' }

/** Members of the welcome that must be positive numbers where they are given. An older server gives none of them. */
const limits = ['silenceMs', 'frameBytes', 'maxUnacked', 'ackTimeoutMs']

/**
 * Parses a frame from the server.
 * @returns undefined for an unknown type, which a newer server may send
 * @throws {TypeError | SyntaxError} if it is not a frame of the protocol
 */
export function parseFrame (data: unknown): ServerFrame | undefined {
  if (typeof data !== 'string') throw new TypeError('not a text frame')
  const frame = JSON.parse(data)
  if (typeof frame?.type !== 'string') throw new TypeError('no type')
  const member = Object.hasOwn(required, frame.type) ? required[frame.type] : undefined
  if (member === undefined) return undefined
  if (member === 'ids' ? !Array.isArray(frame.ids) : typeof frame[member] !== 'string') throw new TypeError(`no ${member}`)
  if (frame.type === 'notification' && !('content' in frame)) throw new TypeError('no content')
  if (frame.type === 'welcome') for (const name of limits) if (!(frame[name] > 0)) delete frame[name]
  return frame
}
