import { findRedis } from './redis/install.js'
import { startSupervised, type PrivateServer } from './supervised.js'

export { RedisUnavailableError } from './redis/install.js'

/** What a private Redis may be told. */
export interface PrivateRedisOptions {
  /** Told what takes time. @default nothing is logged */
  log?: (line: string) => void
  /** Whether a missing server may be installed with apt-get. @default true */
  install?: boolean
  /** Lines of redis.conf. @default what was confirmed survives a crash: `appendonly yes`, `appendfsync always` */
  config?: Record<string, string>
}

/** A Redis of one's own. It goes when the process that started it goes, whichever way. */
export interface PrivateRedis extends PrivateServer {
  /** `redis://127.0.0.1:PORT`, the same for the server's whole life. */
  readonly url: string
}

/** Thrown where a private Redis can't do what it was asked; the message says why. */
export class PrivateRedisError extends Error {
  readonly code = 'PRIVATE_REDIS_FAILED'
  override readonly name = 'PrivateRedisError'
}

/**
 * Starts a Redis in a temporary folder, on a free port of 127.0.0.1. The event loop stays alive until `remove()`.
 * @param options how it is configured, and where to log
 * @returns the server, once it answers
 * @throws {RedisUnavailableError} where there is no Redis and none can be got
 * @throws {PrivateRedisError} with the end of the server's log where it doesn't start
 */
export async function startPrivateRedis ({ log, install = true, config = {} }: PrivateRedisOptions = {}): Promise<PrivateRedis> {
  const command = await findRedis({ install, log })
  const { server } = await startSupervised({ kind: 'redis', name: 'Redis', options: { command, config }, PrivateError: PrivateRedisError })
  log?.(`Redis answers on port ${server.port}`)
  return { ...server, url: `redis://127.0.0.1:${server.port}` }
}
