/**
 * A broker's URL without its password, for messages and logs.
 * @param url anything; what is no URL is not quoted, as it may hold a password
 */
export function redactUrl (url: unknown): string {
  if (typeof url !== 'string') return url === null ? 'null' : typeof url
  const { protocol = '', username = '', host = '', pathname = '' } = URL.canParse(url) ? new URL(url) : {}
  if (host === '') return `a string of ${url.length} characters that is no URL of a host`
  return `${protocol}//${username === '' ? '' : `${username}:***@`}${host}${pathname}`
}
