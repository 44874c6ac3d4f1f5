import { closeCodes, isSendableCloseCode, MAX_REASON_BYTES } from '../close-codes.js'
import { describeValue, describeWrongId } from '../delivery/notification.js'
import { errors } from '../errors.js'
import { ID_RULE, isId } from '../ids.js'

/** Which connections of a user are closed, and with what. */
export interface Disconnect {
  readonly code: number
  readonly reason: string
  /** Only the connections of this session; undefined for all connections of the user. */
  readonly sessionId?: string | undefined
}

/** Whether a connection of the user is one of those that are to be closed. */
export function isMeant ({ sessionId }: { readonly sessionId?: string | undefined }, disconnect: Disconnect): boolean {
  return disconnect.sessionId === undefined || disconnect.sessionId === sessionId
}

/** What `disconnect()` may be given instead of a code. */
export interface DisconnectOptions {
  /** Closes only the connections for which `authenticate` has returned this session: one device of the user. */
  readonly sessionId?: string
  /**
   * Whether the clients are to come back with new credentials: they are closed with 4500 instead of 4502.
   * @default false
   */
  readonly reconnect?: boolean
}

const MEMBERS = new Set(['sessionId', 'reconnect'])

const BY_APPLICATION = 'disconnected by the application'

/**
 * Checks the arguments of `disconnect()`.
 * @param how a close code, or options
 * @throws FST_NOTIFICATION_INVALID_CLOSE, FST_NOTIFICATION_INVALID_SESSION_ID
 */
export function toDisconnect (how: number | DisconnectOptions = closeCodes.disconnected, reason?: string): Disconnect {
  if (typeof how === 'object' && how !== null) return fromOptions(how, reason)
  if (!isSendableCloseCode(how)) throw new errors.InvalidClose('code', '1000, 1001, 1007 to 1014 (but 1010), or 3000 to 4999', String(how))
  if (reason === undefined) return { code: how, reason: BY_APPLICATION }
  if (typeof reason !== 'string' || Buffer.byteLength(reason) > MAX_REASON_BYTES) {
    throw new errors.InvalidClose('reason', `a string of at most ${MAX_REASON_BYTES} bytes`, describeValue(reason))
  }
  return { code: how, reason }
}

/** A member that is misspelt, or undefined by mistake, must not close the other devices of the user too. */
function fromOptions (options: DisconnectOptions, reason: unknown): Disconnect {
  const unknown = Object.keys(options).find(name => !MEMBERS.has(name))
  const isPlain = [Object.prototype, null].includes(Object.getPrototypeOf(options))
  if (unknown !== undefined || !isPlain) {
    throw new errors.InvalidClose('the second argument', 'a close code or { sessionId, reconnect }', isPlain ? `the member '${unknown}'` : 'an object of another kind')
  }
  if (reason !== undefined) throw new errors.InvalidClose('the third argument', 'left out beside { sessionId, reconnect }', describeValue(reason))
  const { sessionId, reconnect = false } = options
  if ('sessionId' in options && !isId(sessionId)) throw new errors.InvalidSessionId(`a string of ${ID_RULE}`, describeWrongId(sessionId))
  if (typeof reconnect !== 'boolean') throw new errors.InvalidClose('reconnect', 'true or false', describeValue(reconnect))
  return reconnect
    ? { sessionId, code: closeCodes.expired, reason: 'new credentials are needed' }
    : { sessionId, code: closeCodes.disconnected, reason: BY_APPLICATION }
}
