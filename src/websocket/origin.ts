import { HOSTLESS, normalizeOrigin } from '../options/normalize-origin.js'
import type { AllowedOrigins, OriginList } from '../options/values.js'

/** How many characters of an origin are logged, and how many of the allowed ones. */
const MAX_LOGGED = 200
const MAX_ALLOWED = 20

/**
 * Whether a page of this origin may connect, where no function decides. Browsers say where a page is from, and let it
 * open a WebSocket to any host with that host's cookies (RFC 6455 §10.2).
 * @param host that of the request
 */
export function isOriginAllowed (origin: string, host: string, allowed: OriginList | undefined): boolean {
  if (allowed === '*') return true
  const normalized = normalizeOrigin(origin)
  if (normalized === undefined) return false
  if (allowed === undefined) return isSameHost(normalized, host)
  return allowed.some(entry => typeof entry === 'string' ? normalizeOrigin(entry) === normalized : matchesWhole(entry, normalized))
}

/** An origin or a host as it is logged: nothing else that a client may have put into the header. */
export function describeOrigin (origin: string): string {
  return (normalizeOrigin(origin) ?? describeWrong(origin)).slice(0, MAX_LOGGED)
}

function describeWrong (origin: string): string {
  if (/^[\w.:[\]-]*$/.test(origin)) return origin
  const { protocol, host } = URL.canParse(origin) ? new URL(origin) : { protocol: '', host: '' }
  return host === '' ? 'not an origin' : `${protocol}//${host} with something before or after it`
}

/** What an origin was compared with, for the log. */
export function describeAllowed (host: string, allowed: AllowedOrigins | undefined): string[] {
  if (allowed === undefined) return [`pages of the host ${describeOrigin(host)}`]
  return typeof allowed === 'object' ? allowed.slice(0, MAX_ALLOWED).map(String) : ['a function']
}

function isSameHost (origin: string, host: string): boolean {
  if (HOSTLESS.includes(origin)) return false
  // With the scheme of the page, as a default port is left out by its own.
  return normalizeOrigin(`${new URL(origin).protocol}//${host}`) === origin
}

/** An expression without anchors would let `https://example.com.attacker.net` pass for `example.com`. */
function matchesWhole ({ source, flags }: RegExp, origin: string): boolean {
  if (HOSTLESS.includes(origin)) return false
  return new RegExp(`^(?:${source})$`, flags.replace(/[gy]/g, '')).test(origin)
}
