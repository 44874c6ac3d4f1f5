/** Codes after which the next attempt would end the same way: see the table of close codes. */
const final = new Set([1002, 1003, 1007, 1008, 1009])

/** Whether a close code means "don't connect again". */
export function isFinal (code: number): boolean {
  return final.has(code) || (code >= 4500 && code <= 4999)
}

/** The credentials have expired, or the application wants new ones. */
export const EXPIRED = 4500

/** Whether a close code means that other credentials may be accepted: they have expired, or were not accepted. */
export function asksForCredentials (code: number): boolean {
  return code === EXPIRED || code === 4501
}

/**
 * How long to wait before the next attempt, in milliseconds: a random time up to a limit that doubles. When a server
 * restarts, its clients then come back spread over the whole time, not in waves.
 * @param attempts how many attempts have failed
 */
export function retryDelay (attempts: number, initialDelay: number, maxDelay: number): number {
  return Math.random() * Math.min(maxDelay, initialDelay * 2 ** attempts)
}
