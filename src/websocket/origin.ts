import type { FastifyRequest } from 'fastify'
import type { UpgradeContext } from './identity.js'

/**
 * Which pages may connect: those of any origin; of one that equals a string or is matched, from end to end, by a regular
 * expression; of one for which a function returns true.
 */
export type AllowedOrigins = OriginList | ((origin: string, request: FastifyRequest, context: UpgradeContext) => boolean | Promise<boolean>)

type OriginList = '*' | ReadonlyArray<string | RegExp>

/** Origins without a host: of sandboxed frames and of pages that are files (RFC 6454 §4 and §6.1). Only a string allows them. */
const HOSTLESS = ['null', 'file://']

/** How many characters of an origin are logged, and how many of the allowed ones. */
const MAX_LOGGED = 200
const MAX_ALLOWED = 20

/**
 * An origin (RFC 6454 §6.1) in the one form in which origins can be compared: lower case, without a default port.
 * @returns undefined for what is no origin
 */
export function normalizeOrigin (origin: string): string | undefined {
  if (HOSTLESS.includes(origin)) return origin
  if (!URL.canParse(origin)) return undefined
  const { protocol, host, username, password, pathname, search, hash } = new URL(origin)
  const rest = username + password + (pathname === '/' ? '' : pathname) + search + hash
  return host === '' || rest !== '' || origin.endsWith('/') ? undefined : `${protocol}//${host}`
}

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
