import { setTimeout as delay } from 'node:timers/promises'

/**
 * Whether a promise is fulfilled within a time limit.
 * @param timeout the time limit, in milliseconds
 * @param over ends the wait when it aborts
 * @throws the error that the promise rejects with; AbortError if `over` aborts
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
