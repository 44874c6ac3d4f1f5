import { isIP } from 'node:net'

/** Maximum length of the text of an IPv6 address. What a proxy puts into a header may be longer. */
const MAX_LENGTH = 45

/**
 * The network of a client's address. An IPv4 address is a network of its own. An IPv6 client has all addresses of a /64
 * (RFC 4291 §2.5.4), so that it could come from another one each time.
 * @param address any text; undefined if it is not known, as on a Unix socket
 */
export function networkOf (address: string | undefined): string | undefined {
  if (address === undefined) return undefined
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  if (mapped !== null) return mapped[1]!
  if (isIP(address) !== 6) return address.slice(0, MAX_LENGTH)
  const [head, tail] = address.split('::').map(part => part === '' ? [] : part.split(':'))
  // An IPv4 address at the end takes the place of two groups.
  const tailLength = (tail?.length ?? 0) + (tail?.at(-1)?.includes('.') === true ? 1 : 0)
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - head!.length - tailLength }, () => '0')
  return [...head!, ...zeros, ...tail ?? []].slice(0, 4).map(group => parseInt(group, 16).toString(16)).join(':')
}
