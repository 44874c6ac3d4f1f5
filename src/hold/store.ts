import type { FastifyBaseLogger } from 'fastify'
import type { Dismissals, Held, HoldStore } from '../delivery/doors.js'

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

  /** What users' clients have acknowledged; undefined if the store shares nothing with other instances. */
  readonly dismissals: Dismissals | undefined

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

/** The limits for each user, and the limit for all users. */
export interface TotalBounds extends Bounds {
  /** Maximum bytes of all notifications, including the overhead of the store. */
  readonly totalBytes: number
}

/** Why the hold drops what nobody has seen. */
export type DropReason = 'overflow' | 'expired' | 'broken'

/** The callbacks, the log and the clock of a store. */
export interface HoldHooks {
  /** The store has begun to fail, or works again. */
  changed? (): void
  log?: FastifyBaseLogger | undefined
  /**
   * Unacknowledged notifications of a user were dropped. `ids` is undefined if it isn't known which ones.
   * @param reason `broken`: something else has changed what the store had
   */
  dropped (reason: DropReason, count: number, userId: string, ids?: readonly string[]): void
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
