import type { RedisClient } from '../options/values.js'
import { connectRedis } from './redis-client.js'
import { expiryOf, sizeOf, type Bounds, type Held, type HoldHooks, type ManagedHoldStore } from './store.js'

/**
 * Keeps notifications in Redis, where every instance finds them, also after a restart.
 *
 * When all notifications of a user have expired, Redis itself removes them. They are not counted as dropped. Redis may
 * also evict notifications if its `maxmemory-policy` allows it (leave it at `noeviction`). They are not counted either.
 * @param redis a URL, or a client of the application
 * @param keyPrefix the prefix of all keys, without a `{`
 * @throws FST_NOTIFICATION_HOLD_NO_CLIENT
 */
export async function createRedisHold (
  redis: string | RedisClient,
  keyPrefix: string,
  { maxCount, maxAge, maxBytes }: Bounds,
  { dropped, now = Date.now }: HoldHooks
): Promise<ManagedHoldStore> {
  const connection = await connectRedis(redis)

  /**
   * The keys of a user. Redis Cluster keeps keys with the same text in braces together. It doesn't accept an empty
   * text, so the text begins with a colon.
   */
  function keysOf (userId: string): string[] {
    return ['order', 'expiry', 'data'].map(name => `${keyPrefix}{:${userId}}:${name}`)
  }

  function countExpired (count: unknown, userId: string): void {
    if (Number(count) > 0) dropped('expired', Number(count), userId)
  }

  return {
    async add (userId, held) {
      const { id, content, position, expiresAt } = held
      const size = sizeOf(held)
      const until = expiryOf(held, maxAge)
      const time = now()
      // If one that is too large were kept, it would push out all other notifications, and then itself.
      const refused = until <= time ? 'expired' : size > maxBytes ? 'overflow' : undefined
      const args = [time, id, size, position, until, expiresAt, refused === undefined ? content : '', maxCount, maxBytes, refused ?? '']
      return await connection.call('notificationHoldAdd', keysOf(userId), args, reply => {
        const [expired, isKnown, ...ids] = reply as [number, 0 | 1, ...string[]]
        countExpired(expired, userId)
        if (isKnown === 1) return 'known'
        if (ids.length > 0) dropped(refused ?? 'overflow', ids.length, userId, ids)
        return ids
      })
    },

    async read (userId, after, limit) {
      const args = [now(), limit, ...(after === undefined ? [] : [after.position, after.id])]
      return await connection.call('notificationHoldRead', keysOf(userId), args, reply => {
        const [expired, ...pairs] = reply as [number, ...string[]]
        countExpired(expired, userId)
        const found: Held[] = []
        for (let index = 0; index < pairs.length; index += 2) found.push(parse(pairs[index]!, pairs[index + 1]!))
        return found
      })
    },

    async remove (userId, ids) {
      if (ids.length === 0) return []
      return await connection.call('notificationHoldRemove', keysOf(userId), [...ids], reply => reply as string[])
    },

    * unsaved () {},
    sweep () {},
    size: undefined,
    get failing () { return connection.failing },
    get lastError () { return connection.lastError },
    close: connection.close
  }
}

/** Parses a record of scripts.ts: `<sequence> <size> <position> <expiresAt> <content>`. */
function parse (id: string, record: string): Held {
  const [, , position, expiresAt] = record.split(' ', 4)
  let start = 0
  for (let spaces = 0; spaces < 4; spaces++) start = record.indexOf(' ', start) + 1
  return { id, content: record.slice(start), position: Number(position), expiresAt: Number(expiresAt) }
}
