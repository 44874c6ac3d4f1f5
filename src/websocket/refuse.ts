import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'

/** Seconds after which a client that was refused because of a limit may try again. */
export const RETRY_AFTER = '5'

/** An error that an upgrade is refused with. */
export type Refusal = Error & { readonly code: string, readonly statusCode?: number | undefined }

/** Answers an upgrade that Fastify can't answer any more, in the form of Fastify's own answers, and ends its socket. */
export function refuse (socket: Duplex, { statusCode = 503, code, message }: Refusal): void {
  const error = STATUS_CODES[statusCode]
  const body = JSON.stringify({ statusCode, code, error, message })
  const lines = [
    `HTTP/1.1 ${statusCode} ${error}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `retry-after: ${RETRY_AFTER}`,
    'connection: close'
  ]
  socket.on('error', () => {}) // Node has no listener of its own on the socket of an upgrade: a reset would end the process
  socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`)
  endSoon(socket)
}

/** Ends a socket when what was written to it is sent. Newer versions of Node give an upgrade a stream that has no `destroySoon`. */
export function endSoon (socket: Duplex): void {
  if (socket.writable) socket.end()
  if (socket.writableFinished) socket.destroy()
  else socket.once('finish', () => socket.destroy())
}
