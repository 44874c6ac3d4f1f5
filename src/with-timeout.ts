import { setTimeout as delay } from 'node:timers/promises'

/**
 * Whether a promise was fulfilled within a time limit in milliseconds.
 * @param over ends the wait
 * @throws what it is rejected with; AbortError
 */
export async function withTimeout (timeout: number, promise: Promise<unknown>, over?: AbortSignal): Promise<boolean> {
  const timer = new AbortController()
  try {
    return await Promise.race([
      promise.then(() => true),
      delay(timeout, false, { signal: over === undefined ? timer.signal : AbortSignal.any([timer.signal, over]) })
    ])
  } finally {
    timer.abort()
  }
}
