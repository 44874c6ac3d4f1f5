import { wallClockLead } from '../clock.js'
import type { HeldTimes } from '../delivery/doors.js'

/** When the plugin first routed the notification, in microseconds since 1970. */
export const HELD_SINCE = 'x-notification-held-since'

/** When the notification expires, in milliseconds since 1970. Left out if it never expires. */
export const EXPIRES_AT = 'x-notification-expires-at'

/**
 * The headers that tell the next process the age of a notification, in wall-clock time.
 * @param lead of the wall clock: the same for all notifications of one hold, or their order would change
 */
export function toHeaders ({ position, expiresAt }: HeldTimes, lead: number): Record<string, number> {
  return {
    [HELD_SINCE]: position + lead * 1_000,
    ...(expiresAt !== Infinity && { [EXPIRES_AT]: Math.ceil(expiresAt) + lead })
  }
}

/**
 * The times of a message that an earlier process has published back to the queue. Anybody may publish such headers. They
 * can make a notification older, by at most `maxAge`, as an `expiration` can. They can't make it younger.
 * @param fresh the times of a message without such headers, on the clock of `now`
 * @param maxAge of the hold, in milliseconds
 * @returns undefined if the message has no such headers
 */
export function timesBefore (headers: Readonly<Record<string, unknown>> | undefined, fresh: HeldTimes, now: () => number, maxAge: number): HeldTimes | undefined {
  const since = headers?.[HELD_SINCE]
  if (!isTime(since)) return undefined
  const lead = now === Date.now ? 0 : wallClockLead()
  const expires = headers?.[EXPIRES_AT]
  const oldest = Math.floor((now() - maxAge - 1) * 1_000) // older than the hold keeps
  return {
    position: Math.min(fresh.position, Math.max(oldest, since - lead * 1_000)),
    expiresAt: isTime(expires) ? Math.min(fresh.expiresAt, expires - lead) : fresh.expiresAt
  }
}

/** Whether a message comes from the hold of an earlier process. */
export function isGivenBack (headers: Readonly<Record<string, unknown>> | undefined): boolean {
  return isTime(headers?.[HELD_SINCE])
}

function isTime (value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0
}
