import type { FastifyRequest } from 'fastify'

/**
 * Which pages may connect: those of any origin; of one that equals a string or is matched, from end to end, by a regular
 * expression; of one for which a function returns true.
 */
export type AllowedOrigins = '*' | ReadonlyArray<string | RegExp> | ((origin: string, request: FastifyRequest) => boolean | Promise<boolean>)

/**
 * An origin (RFC 6454 §6.1) in the one form in which origins can be compared: lower case, without a default port.
 * @returns undefined for what is no origin, `null` among it
 */
export function normalizeOrigin (origin: string): string | undefined {
  if (!URL.canParse(origin)) return undefined
  const { protocol, host, username, password, pathname, search, hash } = new URL(origin)
  const rest = username + password + (pathname === '/' ? '' : pathname) + search + hash
  return host === '' || rest !== '' || origin.endsWith('/') ? undefined : `${protocol}//${host}`
}

/**
 * Whether a page of this origin may connect. Browsers say where a page is from, and let it open a WebSocket to any
 * host with that host's cookies (RFC 6455 §10.2).
 */
export async function isOriginAllowed (request: FastifyRequest, allowed: AllowedOrigins | undefined): Promise<boolean> {
  const { origin } = request.headers
  if (origin === undefined || allowed === '*') return true
  if (typeof allowed === 'function') return await allowed(origin, request) === true
  const normalized = normalizeOrigin(origin)
  if (normalized === undefined) return false
  if (allowed === undefined) return isSameHost(normalized, request.host)
  return allowed.some(entry => typeof entry === 'string' ? normalizeOrigin(entry) === normalized : matchesWhole(entry, normalized))
}

function isSameHost (origin: string, host: string): boolean {
  // With the scheme of the page, as a default port is left out by its own.
  return normalizeOrigin(`${new URL(origin).protocol}//${host}`) === origin
}

/** An expression without anchors would let `https://example.com.attacker.net` pass for `example.com`. */
function matchesWhole ({ source, flags }: RegExp, origin: string): boolean {
  return new RegExp(`^(?:${source})$`, flags.replace(/[gy]/g, '')).test(origin)
}
