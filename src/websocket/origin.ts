import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { HOSTLESS, normalizeOrigin } from '../options/normalize-origin.js'
import type { AllowedOrigins, OriginList } from '../options/values.js'

/** Maximum number of characters of an origin in the log, and maximum number of allowed origins in the log. */
const MAX_LOGGED = 200
const MAX_ALLOWED = 20

/** The host of a request, and what is known of it. */
export interface RequestHost {
  /** By the `Host` header, or by that of a trusted proxy. */
  readonly name: string
  /** The address that the client has connected to; undefined for a Unix socket. */
  readonly localAddress: string | undefined
  /** Whether a proxy has passed the request on. No page can set a header of its own on a WebSocket's request. */
  readonly isForwarded: boolean
  /** The option `allowedHosts`. */
  readonly allowed: readonly string[] | undefined
}

/**
 * Whether a page of this origin may connect, if no function decides. A browser sends the origin of the page. It lets
 * any page open a WebSocket to any host, with the cookies of that host (RFC 6455 §10.2).
 */
export function isOriginAllowed (origin: string, host: RequestHost, allowed: OriginList | undefined): boolean {
  if (allowed === '*') return true
  const normalized = normalizeOrigin(origin)
  if (normalized === undefined) return false
  if (allowed === undefined) return isSameHost(normalized, host.name) && isTrusted(new URL(normalized), host)
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
export function describeAllowed (requestHost: RequestHost, allowed: AllowedOrigins | undefined): string[] {
  if (typeof allowed === 'function') return ['a function']
  if (allowed !== undefined) return Array.from(allowed).slice(0, MAX_ALLOWED).map(String)
  const { name, allowed: hosts } = requestHost
  if (hosts !== undefined) return hosts.slice(0, MAX_ALLOWED).map(host => `pages of the host ${host}`)
  const own = `pages of the host ${describeOrigin(name)}`
  return [URL.canParse(`http://${name}`) && !isTrusted(new URL(`http://${name}`), requestHost) ? `${own}, but not on a loopback address: name it in allowedHosts` : own]
}

function isSameHost (origin: string, host: string): boolean {
  if (!/^https?:/.test(origin)) return false
  // The scheme of the page decides which port is the default port, and left out.
  return normalizeOrigin(`${new URL(origin).protocol}//${host}`) === origin
}

/**
 * Whether pages of the request's own host are trusted. Whoever has a domain can let its name resolve to a loopback
 * address. Then a page of that name is of the same host as what listens there (DNS rebinding). An IP address and the
 * names of localhost (RFC 6761 §6.3) resolve to nothing else. What a proxy has passed on did not come from such a page
 * directly: the proxy knows its own names.
 */
function isTrusted ({ protocol, hostname, port }: URL, { localAddress, isForwarded, allowed }: RequestHost): boolean {
  const hosts = [hostname, `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}`]
  if (allowed !== undefined) return allowed.some(entry => hosts.includes(entry.toLowerCase()))
  if (isForwarded || !isLoopback(localAddress)) return true
  return hostname === 'localhost' || hostname.endsWith('.localhost') || isIP(hostname.replace(/^\[|\]$/g, '')) !== 0
}

/** Whether a proxy has passed a request on: nginx, HAProxy, Caddy, Envoy and the load balancers set one of these. */
export function isForwarded (headers: IncomingHttpHeaders): boolean {
  return ['forwarded', 'via', 'x-forwarded-for'].some(name => headers[name] !== undefined)
}

function isLoopback (address: string | undefined): boolean {
  return address !== undefined && /^(?:::ffff:)?127\.|^::1$/.test(address)
}

/** Matches from end to end: without anchors, `example.com` would match `https://example.com.attacker.net`. */
function matchesWhole ({ source, flags }: RegExp, origin: string): boolean {
  if (HOSTLESS.includes(origin)) return false
  return new RegExp(`^(?:${source})$`, flags.replace(/[gy]/g, '')).test(origin)
}
