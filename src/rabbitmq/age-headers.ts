import { wallClockLead } from '../clock.js'
import type { HeldTimes } from '../delivery/doors.js'

/** When a notification that was given back had been routed for the first time, in microseconds since 1970. */
export const HELD_SINCE = 'x-notification-held-since'

/** When it expires, in milliseconds since 1970; left out if it does not. */
export const EXPIRES_AT = 'x-notification-expires-at'

/**
 * The headers by which the next process knows how old a notification is, by the wall clock.
 * @param lead of the wall clock, the same for all that are given back, or their order would change
 */
export function toHeaders ({ position, expiresAt }: HeldTimes, lead: number): Record<string, number> {
  return {
    [HELD_SINCE]: position + lead * 1_000,
    ...(expiresAt !== Infinity && { [EXPIRES_AT]: Math.ceil(expiresAt) + lead })
  }
}

/**
 * The times of a message that a process before this one has given back. Anybody may publish such headers: they can make
 * a notification older, at most by `maxAge`, as an `expiration` can, and never younger.
 * @param fresh the times of a message without such headers, on the clock of `now`
 * @param maxAge of the hold, in milliseconds
 * @returns undefined where there are none
 */
export function timesBefore (headers: Readonly<Record<string, unknown>> | undefined, fresh: HeldTimes, now: () => number, maxAge: number): HeldTimes | undefined {
  const since = headers?.[HELD_SINCE]
  if (!isTime(since)) return undefined
  const lead = now === Date.now ? 0 : wallClockLead()
  const expires = headers?.[EXPIRES_AT]
  const oldest = Math.floor((now() - maxAge - 1) * 1_000) // that is, too old
  return {
    position: Math.min(fresh.position, Math.max(oldest, since - lead * 1_000)),
    expiresAt: isTime(expires) ? Math.min(fresh.expiresAt, expires - lead) : fresh.expiresAt
  }
}

function isTime (value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0
}
