import { MemoryHold } from './memory.js'
import type { RedisClient } from '../options/values.js'
import { RedisHold } from './redis.js'
import { connectRedis } from './redis-connection.js'
import type { HoldHooks, ManagedHoldStore, TotalBounds } from './store.js'

export type { Held, HoldHooks, ManagedHoldStore } from './store.js'

/** Where the hold keeps notifications, and how many. */
export interface HoldOptions extends TotalBounds {
  /** A `redis://` or `rediss://` URL, or a client of ioredis. If left out, notifications are kept in memory. */
  readonly redis?: string | RedisClient | undefined
  /** The prefix of all keys in Redis. */
  readonly keyPrefix: string
}

/**
 * Opens the store that the options ask for.
 * @param hooks the callbacks and the clock of the store
 * @returns the store. If Redis can't be reached yet, the store is `failing`, and keeps trying
 * @throws FST_NOTIFICATION_HOLD_NO_CLIENT if Redis is given as a URL and ioredis is not installed
 */
export async function createHoldStore (options: HoldOptions, hooks: HoldHooks): Promise<ManagedHoldStore> {
  if (options.redis === undefined) return new MemoryHold(options, hooks)
  return new RedisHold(await connectRedis(options.redis, hooks), options.keyPrefix, options, hooks)
}
