import type { Test } from 'tap'
import { startPrivateRedis, type PrivateRedis, type PrivateRedisOptions } from '../../support/private-redis.js'

/** A Redis that the test may kill, stop and freeze, removed after it. */
export async function usePrivateRedis (t: Test, options?: PrivateRedisOptions): Promise<PrivateRedis> {
  const server = await startPrivateRedis(options)
  t.teardown(() => server.remove())
  return server
}
