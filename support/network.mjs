import { readFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'

/**
 * Picks ports of 127.0.0.1 on which nothing listens.
 * @param {number} count
 * @returns {Promise<number[]>}
 * @throws where no port could be found
 */
export async function freePorts (count) {
  // Below the ports from which outgoing connections are made: one of those could take a node's port
  // while the node is down, and a client that dials it again and again ends up connected to itself.
  const range = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').catch(() => '32768')
  const below = Math.max(Number.parseInt(range), 12_000)
  const ports = new Set()
  for (let attempt = 0; attempt < 1_000 && ports.size < count; attempt++) {
    const port = 10_000 + Math.floor(Math.random() * (below - 10_000))
    if (await isFree(port)) ports.add(port)
  }
  if (ports.size < count) throw new Error('no free port was found')
  return [...ports]
}

function isFree (port) {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/**
 * Says whether something listens on a port.
 * @param {number} port
 * @returns {Promise<boolean>}
 */
export function accepts (port) {
  return exchange(port, undefined, () => undefined)
}

/**
 * Sends a request to a port of 127.0.0.1 and judges what comes back.
 * @param {number} port
 * @param {Buffer | undefined} request to be sent; undefined asks for a connection alone
 * @param {(received: Buffer) => boolean | undefined} judge undefined where more bytes are needed
 * @returns {Promise<boolean>} the judgement; false where none is possible within a second
 */
export function exchange (port, request, judge) {
  return new Promise((resolve) => {
    let received = Buffer.alloc(0)
    const socket = connect({ host: '127.0.0.1', port })
    const end = (answer) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(1_000, () => end(false))
    socket.on('error', () => end(false))
    socket.on('end', () => end(false))
    socket.on('connect', () => request ? socket.write(request) : end(true))
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      const answer = judge(received)
      if (answer !== undefined) end(answer)
    })
  })
}
