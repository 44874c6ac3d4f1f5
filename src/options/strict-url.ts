/**
 * The URL of a server: an authority that ends at the first `/`, `?` or `#`, with at most one `@` (RFC 3986 §3.2).
 *
 * Parsers of URLs accept more than that, each in its own way: what is part of the password for one is the host for another.
 */
const SERVER_URL = /^[a-z][a-z0-9+.-]*:\/\/(?:[^@/?#]*@)?[^@/?#]*(?:\/[^@?#]*)?(?:\?[^@#]*)?$/i

/** What no URL has in any place (RFC 3986 §2). */
const NEVER = /[\p{Cc}\s\\]/u

/**
 * Reads a URL that may hold a password. White space around it, as of a file's last line, is no part of it.
 * @returns undefined where it is not certain which part of it is the password: then no part of it may be shown
 */
export function parseStrictUrl (text: string): URL | undefined {
  const trimmed = text.trim()
  if (NEVER.test(trimmed) || !SERVER_URL.test(trimmed) || !URL.canParse(trimmed)) return undefined
  const url = new URL(trimmed)
  return url.hostname.includes('%') ? undefined : url
}

/** Whether the special characters of the user name and the password are percent-encoded (RFC 3986 §3.2.1). */
export function isEncoded (text: string): boolean {
  const url = parseStrictUrl(text)
  if (url === undefined || /\/\/[^@/]*[[\]][^@/]*@/.test(text)) return false
  try {
    decodeURIComponent(url.username + url.password)
    return true
  } catch {
    return false
  }
}
