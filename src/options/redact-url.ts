import { parseStrictUrl } from './strict-url.js'

/** The protocols that are shown. Any other may be the beginning of a password, if the protocol was forgotten. */
const PROTOCOLS: ReadonlySet<string> = new Set(['amqp:', 'amqps:', 'redis:', 'rediss:', 'http:', 'https:', 'ws:', 'wss:'])

/**
 * Removes the password and the query from the URL of a server, for messages and logs.
 * @param url anything. If it is not certain which part of it is the password, nothing of it is quoted
 */
export function redactUrl (url: unknown): string {
  if (typeof url !== 'string') return url === null ? 'null' : typeof url
  const { protocol = '', username = '', password = '', host = '', pathname = '' } = parseStrictUrl(url) ?? {}
  if (host === '' || !PROTOCOLS.has(protocol)) return `a string of ${url.length} characters that is no URL of a host`
  // A user name alone, or one with special characters, may be a part of a password whose user name was left out.
  const login = username === '' ? '' : password !== '' && /^[\w.-]+$/.test(username) ? `${username}:***@` : '***@'
  return `${protocol}//${login}${host}${pathname}`
}
