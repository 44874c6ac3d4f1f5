import { createMemoryHold } from './memory.js'
import type { RedisClient } from '../options/values.js'
import { createRedisHold } from './redis.js'
import type { Bounds, HoldHooks, ManagedHoldStore } from './store.js'

export type { Held, HoldHooks, ManagedHoldStore } from './store.js'

/** Where the hold keeps notifications, and how many. */
export interface HoldOptions extends Bounds {
  /** A `redis://` or `rediss://` URL, or a client of ioredis. If left out, notifications are kept in memory. */
  readonly redis?: string | RedisClient | undefined
  /** The prefix of all keys in Redis. */
  readonly keyPrefix: string
  /** Maximum bytes of all users' notifications in memory, including the overhead of the store. */
  readonly totalBytes: number
}

/**
 * Opens the store that the options ask for.
 * @param hooks the callbacks and the clock of the store
 * @returns the store. If Redis can't be reached yet, the store is `failing`, and keeps trying
 * @throws FST_NOTIFICATION_HOLD_NO_CLIENT if Redis is given as a URL and ioredis is not installed
 */
export async function createHoldStore (options: HoldOptions, hooks: HoldHooks): Promise<ManagedHoldStore> {
  if (options.redis === undefined) return createMemoryHold(options, hooks)
  return await createRedisHold(options.redis, options.keyPrefix, options, hooks)
}
