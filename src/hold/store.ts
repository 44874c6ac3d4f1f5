import type { Held, HoldStore } from '../delivery/doors.js'

export type { Held } from '../delivery/doors.js'

/** A store as the plugin runs it: the delivery's interface, and the lifecycle and the state of the store. */
export interface ManagedHoldStore extends HoldStore {
  /** Yields what would be lost with this process, by user, oldest first. Yields nothing if Redis keeps it. */
  unsaved (): Iterable<[string, Held[]]>

  /** Drops expired notifications. To be called about once a second. */
  sweep (): void

  /** How many notifications are kept in this process; undefined if Redis keeps them. */
  readonly size: number | undefined

  /** Whether the store can't be used: the last call or the connection failed, and none has succeeded since. */
  readonly failing: boolean

  /** The last failure. It stays here after the store works again. */
  readonly lastError: { readonly error: unknown, readonly at: Date } | undefined

  /** Closes the store. No call may follow. */
  close (): Promise<void>
}

/** Limits for each user. If a limit is exceeded, the oldest notifications are dropped first. */
export interface Bounds {
  /** Maximum number of notifications of one user. */
  readonly maxCount: number
  /** Maximum age in milliseconds, counted from the first routing. */
  readonly maxAge: number
  /** Maximum bytes of the ids and contents of one user, in UTF-8. */
  readonly maxBytes: number
}

/** The callbacks and the clock of a store. */
export interface HoldHooks {
  /** Unacknowledged notifications of a user were dropped. `ids` is undefined if it isn't known which ones. */
  dropped (reason: 'overflow' | 'expired', count: number, userId: string, ids?: readonly string[]): void
  /** The time in milliseconds since 1970. @default Date.now; in memory, `steadyNow` */
  now?: () => number
}

/** Bytes of the id and the content of a notification, in UTF-8. */
export function sizeOf ({ id, content }: Held): number {
  return Buffer.byteLength(id) + Buffer.byteLength(content)
}

/** When a notification expires, in milliseconds since 1970. Never Infinity: Redis refuses it as a time to live. */
export function expiryOf ({ position, expiresAt }: Held, maxAge: number): number {
  return Math.min(expiresAt, Math.ceil(position / 1_000) + maxAge, Number.MAX_SAFE_INTEGER)
}
