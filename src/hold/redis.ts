import { MAX_DISMISSED, SharedDismissals } from './dismissals.js'
import { DISMISSAL_KEYS } from './dismissals-scripts.js'
import { CrossSlotError, isFull, type RedisConnection, type Reply } from './redis-connection.js'
import type { scripts } from './scripts.js'
import { expiryOf, sizeOf, type Held, type HoldHooks, type ManagedHoldStore, type TotalBounds } from './store.js'
import { ENTRY_BYTES, TOTAL_KEYS, USER_BYTES } from './totals-script.js'

/**
 * Maximum calls that make room for one notification. Each drops up to 100, or forgets up to 1,000 users whose notifications
 * have all expired. More are needed only after `totalBytes` was lowered, or when very many users expired at once: then
 * the notifications that are added later go on.
 */
const MAX_TRIMS = 10

/**
 * There is one dismissed id for each so many bytes of `totalBytes`, over all users. Measured with Redis 7: UUIDs take 55
 * bytes each if a user has 100, and 513 if each user has one, so together a quarter of `totalBytes` at most. The longest
 * user ids and ids take 2,435.
 */
const BYTES_PER_DISMISSED = 2_048

/**
 * Keeps notifications in Redis, where every instance finds them, also after a restart.
 *
 * If all users have more than `totalBytes`, the store drops the oldest notifications of one of the users who have most.
 *
 * When all notifications of a user have expired, Redis itself removes them. They are not counted as dropped. Redis may
 * also evict notifications if its `maxmemory-policy` allows it (leave it at `noeviction`). They are not counted either.
 */
export class RedisHold implements ManagedHoldStore {
  readonly isShared = true
  readonly size = undefined
  readonly dismissals: SharedDismissals
  readonly #connection: RedisConnection
  readonly #keyPrefix: string
  readonly #bounds: TotalBounds
  readonly #dropped: HoldHooks['dropped']
  readonly #log: HoldHooks['log']
  readonly #now: () => number
  /** Whether no script can use the keys of several users: they may be on different nodes. */
  #isSpread = false

  /** @param keyPrefix the prefix of all keys, without a `{` */
  constructor (connection: RedisConnection, keyPrefix: string, bounds: TotalBounds, { dropped, log, now = Date.now }: HoldHooks) {
    this.#connection = connection
    this.#keyPrefix = keyPrefix
    this.#bounds = bounds
    this.#dropped = dropped
    this.#log = log
    this.#now = now
    this.dismissals = this.#createDismissals()
    if (connection.isCluster) this.#spread()
  }

  get failing (): boolean {
    return this.#connection.failing
  }

  get lastError (): ManagedHoldStore['lastError'] {
    return this.#connection.lastError
  }

  async add (userId: string, held: Held): Promise<string[] | 'known'> {
    const { maxCount, maxAge, maxBytes, totalBytes } = this.#bounds
    const { id, content, position, expiresAt } = held
    const size = sizeOf(held)
    const until = expiryOf(held, maxAge)
    const time = this.#now()
    // If one that is too large were kept, it would push out all other notifications, and then itself.
    const isTooLarge = size > maxBytes || size + ENTRY_BYTES + USER_BYTES > totalBytes
    const refused = until <= time ? 'expired' : isTooLarge ? 'overflow' : undefined
    const args = [time, id, size, position, until, expiresAt, refused === undefined ? content : '', maxCount, maxBytes, totalBytes, refused ?? '']
    const [added, largest] = await this.#call('notificationHoldAdd', userId, args, reply => {
      const [expired, isKnown, broken, largest, ...ids] = reply as [number, 0 | 1, number, string, ...string[]]
      this.#countLost(expired, broken, userId)
      if (ids.length > 0) this.#dropped(refused ?? 'overflow', ids.length, userId, ids)
      return [isKnown === 1 ? 'known' as const : ids, nameOf(largest)] as const
    }).catch(async (error: unknown) => {
      // `totalBytes` may have been lowered because Redis is full. The next call finds the room that this one makes.
      if (isFull(error)) await this.#makeRoom(userId, userId)
      throw error
    })
    if (added === 'known' || largest === undefined) return added
    return [...added, ...await this.#makeRoom(largest, userId)]
  }

  async read (userId: string, after: Pick<Held, 'position' | 'id'> | undefined, limit: number, maxBytes = Number.MAX_SAFE_INTEGER): Promise<Held[]> {
    const args = [this.#now(), limit, maxBytes, ...(after === undefined ? [] : [after.position, after.id])]
    const found = await this.#call('notificationHoldRead', userId, args, reply => {
      const [expired, broken, ...pairs] = reply as [number, number, ...string[]]
      this.#countLost(expired, broken, userId)
      const found: Held[] = []
      for (let index = 0; index < pairs.length; index += 2) found.push(parse(pairs[index]!, pairs[index + 1]!))
      return found
    })
    const broken = found.filter(held => !isReadable(held)).map(({ id }) => id)
    if (broken.length === 0) return found
    await this.remove(userId, broken)
    this.#dropped('broken', broken.length, userId, broken)
    // A caller that gets nothing would take it for the end.
    return found.length > broken.length ? found.filter(isReadable) : await this.read(userId, after, limit, maxBytes)
  }

  async remove (userId: string, ids: readonly string[]): Promise<string[]> {
    if (ids.length === 0) return []
    return await this.#call('notificationHoldRemove', userId, [...ids], reply => reply as string[])
  }

  * unsaved (): Generator<never> {}

  sweep (): void {}

  async close (): Promise<void> {
    await this.#connection.close()
  }

  /**
   * Drops the oldest of those who have most, until all users have no more than they may. If a call fails, the next
   * notification that is added goes on.
   * @param largest the user who has most, or any other: the first call then finds who it is
   * @param userId whoever the room is for
   * @returns the ids of this user that were dropped
   */
  async #makeRoom (largest: string, userId: string): Promise<string[]> {
    const own: string[] = []
    let next: string | undefined = largest
    for (let trims = 0; next !== undefined && trims < MAX_TRIMS; trims++) {
      const name: string = next
      next = await this.#call('notificationHoldTrim', name, [this.#now(), this.#bounds.totalBytes], reply => {
        const [expired, broken, largest, ...ids] = reply as [number, number, string, ...string[]]
        this.#countLost(expired, broken, name)
        if (ids.length > 0) this.#dropped('overflow', ids.length, name, ids)
        if (name === userId) own.push(...ids)
        return nameOf(largest)
      }).catch(() => undefined)
    }
    return own
  }

  /** Runs a script of the hold for a user. */
  async #call<T> (script: keyof typeof scripts, userId: string, args: Array<string | number>, handle: (reply: Reply) => T): Promise<T> {
    return await this.#callWithTotals(script, this.#keysOf(userId, 'order', 'expiry', 'data'), TOTAL_KEYS, args, handle)
  }

  /**
   * Runs a script with the keys of a user and those of all users together; in a Redis cluster with the first key in place of
   * each of the latter.
   */
  async #callWithTotals<T> (script: keyof typeof scripts, keys: string[], totals: readonly string[], args: Array<string | number>, handle: (reply: Reply) => T): Promise<T> {
    if (!this.#isSpread) {
      try {
        return await this.#connection.call(script, [...keys, ...totals.map(name => this.#keyPrefix + name)], args, handle)
      } catch (error) {
        if (!(error instanceof CrossSlotError)) throw error
        this.#spread() // not every cluster has a client that knows it
      }
    }
    return await this.#connection.call(script, [...keys, ...totals.map(() => keys[0]!)], args, handle)
  }

  #spread (): void {
    if (this.#isSpread) return
    this.#isSpread = true
    this.#log?.warn('hold.totalBytes has no effect: a Redis cluster keeps the notifications of users apart. Watch the memory of its nodes')
  }

  /**
   * The keys of a user. Redis Cluster keeps keys with the same text in braces together. It doesn't accept an empty
   * text, so the text begins with a colon.
   */
  #keysOf (userId: string, ...names: string[]): string[] {
    return names.map(name => `${this.#keyPrefix}{:${userId}}:${name}`)
  }

  #createDismissals (): SharedDismissals {
    const { maxAge, totalBytes } = this.#bounds
    const maxTotal = Math.max(MAX_DISMISSED, Math.floor(totalBytes / BYTES_PER_DISMISSED))
    return new SharedDismissals({
      add: async (userId, ids) => await this.#callWithTotals(
        'notificationDismissalsAdd', this.#keysOf(userId, 'dismissed'), DISMISSAL_KEYS, [this.#now(), maxAge, MAX_DISMISSED, maxTotal, ...ids], () => {}
      ),
      read: async userId => await this.#connection.call(
        'notificationDismissalsRead', this.#keysOf(userId, 'dismissed'), [this.#now(), maxAge], reply => reply as string[]
      )
    })
  }

  #countLost (expired: number, broken: number, userId: string): void {
    if (expired > 0) this.#dropped('expired', expired, userId)
    if (broken > 0) this.#dropped('broken', broken, userId)
  }
}

/** The user whom a script names by the part of the keys that is in braces; undefined for an empty text. */
function nameOf (largest: string): string | undefined {
  return largest === '' ? undefined : largest.slice('{:'.length, -'}'.length)
}

/** Whether the delivery can make a notification of it: only strings are parsed. */
function isReadable ({ content, expiresAt }: Held): boolean {
  if (content === '' || Number.isNaN(expiresAt)) return false
  if (!content.startsWith('"')) return true
  try {
    JSON.parse(content)
    return true
  } catch {
    return false
  }
}

/** Parses a record of scripts.ts: `<sequence> <size> <position> <expiresAt> <content>`. */
function parse (id: string, record: string): Held {
  const [, , position, expiresAt] = record.split(' ', 4)
  let start = 0
  for (let spaces = 0; spaces < 4; spaces++) start = record.indexOf(' ', start) + 1
  return { id, content: record.slice(start), position: Number(position), expiresAt: Number(expiresAt) }
}
