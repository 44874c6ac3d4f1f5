import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Certificate {
  readonly cert: string
  readonly key: string
}

/** A certificate authority that nobody else knows. */
export interface Authority {
  readonly ca: string
  /** @param hosts for a server: the names and addresses that it is for, as in `DNS:localhost` */
  sign (commonName: string, hosts?: string[]): Certificate
  /** The same, with the key encrypted. */
  encrypt (key: string, passphrase: string): string
}

/**
 * Makes a certificate authority with openssl.
 * @param folder where its files go
 */
export function createAuthority (folder: string): Authority {
  const at = (name: string) => join(folder, name)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'] }).toString()
  const request = (name: string, ...args: string[]) => openssl('req', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${name}`, '-keyout', at(`${name}.key`), ...args)
  request('authority', '-x509', '-out', at('authority.pem'))
  return {
    ca: readFileSync(at('authority.pem'), 'utf8'),
    sign (commonName, hosts = []) {
      writeFileSync(at('extensions'), hosts.length === 0 ? 'extendedKeyUsage=clientAuth' : `extendedKeyUsage=serverAuth\nsubjectAltName=${hosts.join(',')}`)
      request(commonName, '-out', at('request'))
      const cert = openssl('x509', '-req', '-in', at('request'), '-days', '2', '-CA', at('authority.pem'), '-CAkey', at('authority.key'), '-CAcreateserial', '-extfile', at('extensions'))
      return { cert, key: readFileSync(at(`${commonName}.key`), 'utf8') }
    },
    encrypt (key, passphrase) {
      writeFileSync(at('plain.key'), key)
      return openssl('pkcs8', '-topk8', '-in', at('plain.key'), '-v2', 'aes-256-cbc', '-passout', `pass:${passphrase}`)
    }
  }
}
