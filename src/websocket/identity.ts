import type { FastifyRequest } from 'fastify'
import { describeValue, describeWrongId } from '../delivery/notification.js'
import { errors } from '../errors.js'
import { ID_RULE, isId } from '../ids.js'
import type { Authenticate, UpgradeContext } from '../options/values.js'

/** The verified user of a connection. */
export interface Verified {
  readonly userId: string
  /** When the credentials expire, in milliseconds since 1970. */
  readonly expiresAt: number
  /** The groups of the connection. */
  readonly groups: readonly string[]
  /** The session that the connection belongs to. */
  readonly sessionId: string | undefined
}

/**
 * A time in this range is in seconds by mistake. As seconds since 1970, the range is the years 2001 to 2970. As
 * milliseconds since 1970, all of it is in 1970.
 */
const SECONDS_FROM = 1e9
const SECONDS_TO = 365 * 24 * 60 * 60 * 1_000

/**
 * Asks the application which user a request comes from.
 * @param named the `userId` of the query, if there is one
 * @param maxGroups maximum groups of a connection
 * @throws FST_NOTIFICATION_UNAUTHENTICATED if `authenticate` returns no user or expired credentials, or throws an error
 *   without a `statusCode` of 400 or more; the error that `authenticate` throws, if its `statusCode` is 400 to 499;
 *   FST_NOTIFICATION_AUTHENTICATE_FAILED with the same `statusCode`, if that is 500 or more;
 *   FST_NOTIFICATION_FORBIDDEN_USER if `named` is another user; FST_NOTIFICATION_INVALID_IDENTITY
 */
export async function identify (request: FastifyRequest, authenticate: Authenticate, named: string | undefined, maxGroups: number, context: UpgradeContext): Promise<Verified> {
  const { userId, expiresAt, groups, sessionId } = parse(await ask(request, authenticate, context), maxGroups)
  if (expiresAt <= Date.now()) throw new errors.Unauthenticated({ cause: { name: 'authenticate returned an expiresAt that is over' } })
  if (named !== undefined && named !== userId) throw new errors.ForbiddenUser()
  return { userId, expiresAt, groups, sessionId }
}

/** Calls `authenticate`. The client and the log never get the text of an internal error: it may quote a token. */
async function ask (request: FastifyRequest, authenticate: Authenticate, context: UpgradeContext): Promise<unknown> {
  try {
    return await authenticate(request, context)
  } catch (error) {
    const { statusCode, name, code } = (error ?? {}) as { statusCode?: unknown, name?: unknown, code?: unknown }
    request.log.debug({ name, code }, 'authenticate threw')
    if (typeof statusCode !== 'number' || !(statusCode >= 400)) throw new errors.Unauthenticated({ cause: { name, code } })
    if (statusCode < 500) throw error
    throw Object.assign(new errors.AuthenticateFailed(), { statusCode })
  }
}

function parse (identity: unknown, maxGroups: number): Verified {
  if (isNobody(identity)) throw nobody()
  const named = (typeof identity === 'object' ? identity : { userId: identity }) as { userId?: unknown, expiresAt?: unknown, groups?: unknown, sessionId?: unknown }
  const { userId, expiresAt, groups, sessionId } = named
  // For example, `return { userId: session.userId }` where the session has no user.
  if ('userId' in named && isNobody(userId)) throw nobody()
  if (!isId(userId)) throw new errors.InvalidIdentity(`userId: it must be a string of ${ID_RULE}; got ${describeWrongId(userId)}`)
  return { userId, expiresAt: parseExpiry(expiresAt), groups: parseGroups(groups, maxGroups), sessionId: parseSessionId(sessionId) }
}

/** The cause is for the log: the client is told no more than that it is not authenticated. */
function nobody (): Error {
  return new errors.Unauthenticated({ cause: { name: 'authenticate returned no user' } })
}

function isNobody (value: unknown): value is undefined | null | '' {
  return value === undefined || value === null || value === ''
}

function parseExpiry (expiresAt: unknown): number {
  if (expiresAt === undefined) return Infinity
  const at = expiresAt instanceof Date ? expiresAt.getTime() : expiresAt
  if (typeof at !== 'number' || Number.isNaN(at)) throw new errors.InvalidIdentity(`expiresAt: it must be a Date, or milliseconds since 1970; got ${typeof at === 'number' ? 'an invalid date' : describeValue(at)}`)
  if (at >= SECONDS_FROM && at < SECONDS_TO) throw new errors.InvalidIdentity('expiresAt: it is in seconds, and must be in milliseconds; multiply by 1000')
  return at
}

function describeGroups (groups: unknown): string {
  if (!Array.isArray(groups)) return describeValue(groups)
  const wrong = groups.find(group => !isId(group))
  return `an array of ${groups.length}${wrong === undefined ? '' : ` with ${describeWrongId(wrong)}`}`
}

function parseGroups (groups: unknown, maximum: number): readonly string[] {
  if (groups === undefined) return []
  if (!Array.isArray(groups) || groups.length > maximum || !groups.every(isId)) {
    throw new errors.InvalidIdentity(`groups: it must be an array of at most ${maximum} names (limits.groupsPerConnection), each a string of ${ID_RULE}; got ${describeGroups(groups)}`)
  }
  return groups
}

function parseSessionId (sessionId: unknown): string | undefined {
  if (sessionId !== undefined && !isId(sessionId)) throw new errors.InvalidIdentity(`sessionId: it must be a string of ${ID_RULE}; got ${describeWrongId(sessionId)}`)
  return sessionId
}
