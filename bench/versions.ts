import { readFileSync } from 'node:fs'

const PACKAGES = ['fastify', '@fastify/websocket', 'ws', 'amqplib', 'socket.io']

/** The installed versions of what was measured. */
export function versions (): Record<string, string> {
  return Object.fromEntries(PACKAGES.map(name => {
    const file = new URL(`../node_modules/${name}/package.json`, import.meta.url)
    return [name, (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version]
  }))
}
