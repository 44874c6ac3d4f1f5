import { createMemoryHold } from './memory.js'
import type { RedisClient } from '../options/values.js'
import { createRedisHold } from './redis.js'
import type { Bounds, HoldHooks, HoldStore } from './store.js'

export type { Held, HoldHooks, HoldStore } from './store.js'

/** Where notifications are kept, and how many. */
export interface HoldOptions extends Bounds {
  /** A `redis://` or `rediss://` URL, or a client of ioredis. In memory where left out. */
  readonly redis?: string | RedisClient | undefined
  /** What the keys in Redis begin with. */
  readonly keyPrefix: string
  /** Bytes of everybody's notifications in memory, with what the keeping itself takes. */
  readonly totalBytes: number
}

/**
 * Opens the store that the options ask for.
 * @param hooks what is told of, and the clock
 * @returns the store. One in Redis that can't be reached yet is `failing`, and goes on trying
 * @throws FST_NOTIFICATION_HOLD_NO_CLIENT where Redis is given by a URL and ioredis is not installed
 */
export async function createHoldStore (options: HoldOptions, hooks: HoldHooks): Promise<HoldStore> {
  if (options.redis === undefined) return createMemoryHold(options, hooks)
  return await createRedisHold(options.redis, options.keyPrefix, options, hooks)
}
