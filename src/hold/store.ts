import type { Held, HoldStore as Door } from '../delivery/doors.js'

export type { Held } from '../delivery/doors.js'

/** A store as the plugin runs it: beside what the delivery needs, its life and its state. */
export interface HoldStore extends Door {
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
  /** The time in milliseconds since 1970. @default Date.now */
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
