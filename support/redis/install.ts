import { findProgram, type FindProgramOptions } from '../find-program.js'

/** Thrown where there is no Redis and none can be got. */
export class RedisUnavailableError extends Error {
  readonly code = 'REDIS_UNAVAILABLE'
  override readonly name = 'RedisUnavailableError'
}

/**
 * Finds a Redis to start, and installs Debian's package where there is none, we may, and we are root on Debian.
 * @param options `install: false` forbids the installation; `log` is told of it; `path` is searched for it
 * @returns the server's command
 * @throws {RedisUnavailableError} where there is none
 */
export async function findRedis (options: FindProgramOptions): Promise<string> {
  const { command, failure } = await findProgram('redis-server', 'redis-server', options)
  if (command !== undefined) return command
  throw new RedisUnavailableError([
    'No redis-server here. Install the package, `apt-get install redis-server` on Debian and Ubuntu',
    '(done for you where you are root).',
    ...(failure === undefined ? [] : [failure.message])
  ].join('\n'), { cause: failure })
}
