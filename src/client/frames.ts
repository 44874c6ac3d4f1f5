export const SUBPROTOCOL = 'notification.v1'

export type ServerFrame =
  { readonly type: 'welcome', readonly connectionId: string } |
  { readonly type: 'notification', readonly id: string, readonly content: unknown, readonly redelivered?: boolean } |
  { readonly type: 'dismiss', readonly id: string } |
  { readonly type: 'error', readonly code: string, readonly message: string }

/** For each type of frame, the member that must be a string. */
const required: Record<string, string> = { welcome: 'connectionId', notification: 'id', dismiss: 'id', error: 'code' }

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
  if (typeof frame[member] !== 'string') throw new TypeError(`no ${member}`)
  if (frame.type === 'notification' && !('content' in frame)) throw new TypeError('no content')
  return frame
}
