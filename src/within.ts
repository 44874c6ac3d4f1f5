import { setTimeout as delay } from 'node:timers/promises'

/**
 * Whether a promise was fulfilled within a time limit in milliseconds.
 * @throws what it is rejected with
 */
export async function within (timeout: number, promise: Promise<unknown>): Promise<boolean> {
  const timer = new AbortController()
  try {
    return await Promise.race([
      promise.then(() => true),
      delay(timeout, false, { signal: timer.signal })
    ])
  } finally {
    timer.abort()
  }
}
