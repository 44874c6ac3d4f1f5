import type { FastifyRequest } from 'fastify'
import { errors } from '../errors.js'
import { isId } from '../ids.js'
import type { Authenticate, UpgradeContext } from '../options/values.js'

/** The verified user of a connection, and when the credentials expire, in milliseconds since 1970. */
export interface Verified {
  readonly userId: string
  readonly expiresAt: number
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
 * @throws FST_NOTIFICATION_UNAUTHENTICATED if `authenticate` returns no user or expired credentials, or throws an error
 *   without a `statusCode` of 400 or more; the error that `authenticate` throws, if its `statusCode` is 400 to 499;
 *   FST_NOTIFICATION_AUTHENTICATE_FAILED with the same `statusCode`, if that is 500 or more;
 *   FST_NOTIFICATION_FORBIDDEN_USER if `named` is another user; FST_NOTIFICATION_INVALID_IDENTITY
 */
export async function identify (request: FastifyRequest, authenticate: Authenticate, named: string | undefined, context: UpgradeContext): Promise<Verified> {
  const { userId, expiresAt } = parse(await ask(request, authenticate, context))
  if (expiresAt <= Date.now()) throw new errors.Unauthenticated()
  if (named !== undefined && named !== userId) throw new errors.ForbiddenUser()
  return { userId, expiresAt }
}

/** Calls `authenticate`. The client and the log never get the text of an internal error: it may quote a token. */
async function ask (request: FastifyRequest, authenticate: Authenticate, context: UpgradeContext): Promise<unknown> {
  try {
    return await authenticate(request, context)
  } catch (error) {
    const { statusCode, name, code } = (error ?? {}) as { statusCode?: unknown, name?: unknown, code?: unknown }
    request.log.debug({ name, code }, 'authenticate threw')
    if (typeof statusCode !== 'number' || !(statusCode >= 400)) throw new errors.Unauthenticated()
    if (statusCode < 500) throw error
    throw Object.assign(new errors.AuthenticateFailed(), { statusCode })
  }
}

function parse (identity: unknown): Verified {
  // No user: for example, `return session.userId` where the session has no user.
  if (identity === undefined || identity === null || identity === '') throw new errors.Unauthenticated()
  const { userId, expiresAt } = (typeof identity === 'object' ? identity : { userId: identity }) as { userId?: unknown, expiresAt?: unknown }
  if (!isId(userId)) throw new errors.InvalidIdentity('userId: it must be a string of 1 to 255 bytes without control characters')
  if (expiresAt === undefined) return { userId, expiresAt: Infinity }
  const at = expiresAt instanceof Date ? expiresAt.getTime() : expiresAt
  if (typeof at !== 'number' || Number.isNaN(at)) throw new errors.InvalidIdentity('expiresAt: it must be a Date, or milliseconds since 1970')
  if (at >= SECONDS_FROM && at < SECONDS_TO) throw new errors.InvalidIdentity('expiresAt: it is in seconds, and must be in milliseconds; multiply by 1000')
  return { userId, expiresAt: at }
}
