import { HOSTLESS, normalizeOrigin } from '../options/normalize-origin.js'
import type { AllowedOrigins, OriginList } from '../options/values.js'

/** Maximum number of characters of an origin in the log, and maximum number of allowed origins in the log. */
const MAX_LOGGED = 200
const MAX_ALLOWED = 20

/**
 * Whether a page of this origin may connect, if no function decides. A browser sends the origin of the page. It lets
 * any page open a WebSocket to any host, with the cookies of that host (RFC 6455 §10.2).
 * @param host the host of the request
 */
export function isOriginAllowed (origin: string, host: string, allowed: OriginList | undefined): boolean {
  if (allowed === '*') return true
  const normalized = normalizeOrigin(origin)
  if (normalized === undefined) return false
  if (allowed === undefined) return isSameHost(normalized, host)
  return allowed.some(entry => typeof entry === 'string' ? normalizeOrigin(entry) === normalized : matchesWhole(entry, normalized))
}

/** Describes an origin or a host for the log, without anything else that a client may have put into the header. */
export function describeOrigin (origin: string): string {
  return (normalizeOrigin(origin) ?? describeWrong(origin)).slice(0, MAX_LOGGED)
}

function describeWrong (origin: string): string {
  if (/^[\w.:[\]-]*$/.test(origin)) return origin
  const { protocol, host } = URL.canParse(origin) ? new URL(origin) : { protocol: '', host: '' }
  return host === '' ? 'not an origin' : `${protocol}//${host} with something before or after it`
}

/** Describes for the log with which values an origin was compared. */
export function describeAllowed (host: string, allowed: AllowedOrigins | undefined): string[] {
  if (allowed === undefined) return [`pages of the host ${describeOrigin(host)}`]
  return typeof allowed === 'object' ? allowed.slice(0, MAX_ALLOWED).map(String) : ['a function']
}

function isSameHost (origin: string, host: string): boolean {
  if (HOSTLESS.includes(origin)) return false
  // The scheme of the page decides which port is the default port, and left out.
  return normalizeOrigin(`${new URL(origin).protocol}//${host}`) === origin
}

/** Matches from end to end: without anchors, `example.com` would match `https://example.com.attacker.net`. */
function matchesWhole ({ source, flags }: RegExp, origin: string): boolean {
  if (HOSTLESS.includes(origin)) return false
  return new RegExp(`^(?:${source})$`, flags.replace(/[gy]/g, '')).test(origin)
}
