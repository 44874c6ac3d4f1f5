/**
 * The URL of a server: an authority that ends at the first `/`, `?` or `#`, with at most one `@` (RFC 3986 §3.2).
 *
 * URL parsers accept more than that, and they differ: a part of the password for one parser is the host for another.
 */
const SERVER_URL = /^[a-z][a-z0-9+.-]*:\/\/(?:[^@/?#]*@)?[^@/?#]*(?:\/[^@?#]*)?(?:\?[^@#]*)?$/i

/** Characters that no part of a URL contains (RFC 3986 §2). */
const NEVER = /[\p{Cc}\s\\]/u

/**
 * Parses a URL that may hold a password. White space around the URL is ignored, for example the line break at the end
 * of a file.
 * @returns undefined if it is not certain which part is the password. Then no part of the text may be shown
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
