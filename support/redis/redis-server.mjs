import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { exchange, freePorts } from '../network.mjs'
import { createServer } from '../server.mjs'

/**
 * A Redis with its own folder and port.
 * @param {{ command: string, config: Record<string, string> }} options
 */
export function createRedisServer ({ command, config }) {
  return createServer('Redis', async (folder) => {
    const [port] = await freePorts(1)
    const file = join(folder, 'redis.conf')
    const lines = Object.entries({ appendonly: 'yes', appendfsync: 'always', save: '""', ...config, bind: '127.0.0.1', port, dir: folder })
    await writeFile(file, lines.map(([key, value]) => `${key} ${value}\n`).join(''))
    return { port, env: process.env, steps: [{ label: 'the server', command, args: [file], answers: () => answers(port) }] }
  })
}

/** Whether it serves: it says PONG, or that a password is needed; `-LOADING` while it reads its data. */
function answers (port) {
  return exchange(port, Buffer.from('PING\r\n'), (bytes) => {
    if (!bytes.includes('\r\n')) return undefined
    return /^(\+PONG|-NOAUTH)/.test(bytes.toString())
  })
}
