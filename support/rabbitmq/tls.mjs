import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * A listener for TLS.
 * @typedef {{ ca: string, cert: string, key: string, demandsCertificate?: boolean, port: number }} Tls
 */

/**
 * The lines of rabbitmq.conf for a listener.
 * @param {string} folder where the node finds the files
 * @param {string} address what the node listens on
 * @param {Tls} tls
 * @returns {Record<string, string>}
 */
export function tlsSettings (folder, address, { demandsCertificate = false }) {
  return {
    'listeners.ssl.1': address,
    'ssl_options.cacertfile': join(folder, 'ca.pem'),
    'ssl_options.certfile': join(folder, 'cert.pem'),
    'ssl_options.keyfile': join(folder, 'key.pem'),
    'ssl_options.verify': demandsCertificate ? 'verify_peer' : 'verify_none',
    'ssl_options.fail_if_no_peer_cert': String(demandsCertificate)
  }
}

/**
 * Writes the files of a listener. In a container the server is another user, so all may read them.
 * @param {string} folder
 * @param {Tls} tls
 * @returns {Promise<string[]>} their names
 */
export async function writeTlsFiles (folder, { ca, cert, key }) {
  const files = { 'ca.pem': ca, 'cert.pem': cert, 'key.pem': key }
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text, { mode: 0o644 })
  return Object.keys(files)
}
