/** A notification that waits for its user. */
export interface Held {
  readonly id: string
  /** JSON, passed on as it is. */
  readonly content: string
  /** When it was routed for the first time, in whole microseconds since 1970: what is given back keeps its place. */
  readonly position: number
  /** In milliseconds since 1970; Infinity if it doesn't expire before `maxAge`. */
  readonly expiresAt: number
}

/** Where the notifications of users who are offline are kept, bounded and in order, until they are settled. */
export interface HoldStore {
  /**
   * Keeps one. One that is there already, by its id, stays as it is.
   * @returns once it is kept: the ids of this user that were dropped to make room, oldest first. Its own is among them
   *   if it was not kept: too large, older than the others where there is no room, or expired. `known` where another one
   *   with its id was there; one of the same position is the same one, added again after a failure
   * @throws FST_NOTIFICATION_HOLD_FAILED; it may be kept nevertheless, and adding it again does no harm
   */
  add (userId: string, held: Held): Promise<readonly string[] | 'known'>

  /**
   * Reads what is kept, oldest first: by position, then in the order in which they were added.
   * @param after the last one read, which is left out with everything before it; undefined, from the oldest on. If it
   *   has been removed meanwhile, others of the very same position may be read again
   * @returns at most `limit`, none of them expired
   * @throws FST_NOTIFICATION_HOLD_FAILED
   */
  read (userId: string, after: Pick<Held, 'position' | 'id'> | undefined, limit: number): Promise<readonly Held[]>

  /**
   * Removes what is settled; ids that are not there are ignored.
   * @returns those that were there
   * @throws FST_NOTIFICATION_HOLD_FAILED
   */
  remove (userId: string, ids: readonly string[]): Promise<readonly string[]>

  /** What would be lost with this process, by user, oldest first; nothing where it is kept outside. */
  unsaved (): Iterable<[string, Held[]]>

  /** Drops what has expired; to be called about once a second. */
  sweep (): void

  /** How many are kept in this process; undefined where they are kept outside. */
  readonly size: number | undefined

  /** Whether the store can't be used: the last call or the connection failed, and none has succeeded since. */
  readonly failing: boolean

  /** The last failure; it stays after it was mended. */
  readonly lastError: { readonly error: unknown, readonly at: Date } | undefined

  /** Lets everything go. No call may follow. */
  close (): Promise<void>
}

/** How much is kept, for each user, oldest out first. */
export interface Bounds {
  /** Notifications of one user. */
  readonly maxCount: number
  /** Milliseconds after the first routing. */
  readonly maxAge: number
  /** Bytes of the ids and contents of one user, in UTF-8. */
  readonly maxBytes: number
}

/** What a store is given besides its options. */
export interface HoldHooks {
  /** Some of a user's were dropped that no client has acknowledged; which ones, where that is known. */
  dropped (reason: 'overflow' | 'expired', count: number, userId: string, ids?: readonly string[]): void
  /** The time in milliseconds since 1970. @default the wall clock in Redis, a clock that never steps in memory */
  now?: () => number
}

/** Bytes of an id and a content, in UTF-8. */
export function sizeOf ({ id, content }: Held): number {
  return Buffer.byteLength(id) + Buffer.byteLength(content)
}

/** When one has to go, in milliseconds since 1970. Never Infinity, which Redis doesn't take for a time to live. */
export function expiryOf ({ position, expiresAt }: Held, maxAge: number): number {
  return Math.min(expiresAt, Math.ceil(position / 1_000) + maxAge, Number.MAX_SAFE_INTEGER)
}
