/**
 * Origins without a host: those of sandboxed frames, and of pages that are files (RFC 6454 §4 and §6.1). Only a string
 * in `allowedOrigins` allows them.
 */
export const HOSTLESS = ['null', 'file://']

/**
 * Normalizes an origin (RFC 6454 §6.1), so that origins can be compared: in lower case, without a default port.
 * @returns undefined if it is not an origin
 */
export function normalizeOrigin (origin: string): string | undefined {
  if (HOSTLESS.includes(origin)) return origin
  if (!URL.canParse(origin)) return undefined
  const { protocol, host, username, password, pathname, search, hash } = new URL(origin)
  const rest = username + password + (pathname === '/' ? '' : pathname) + search + hash
  return host === '' || rest !== '' || origin.endsWith('/') ? undefined : `${protocol}//${host}`
}
