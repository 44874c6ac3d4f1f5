import { setTimeout as delay } from 'node:timers/promises'

/**
 * Waits for a state that has no event.
 * @param check what has to become true
 * @param what it is, for the error
 * @param timeout in milliseconds; far above what it takes
 */
export async function eventually (check: () => unknown, what: string, timeout = 120_000): Promise<void> {
  const deadline = Date.now() + timeout
  while (!await check()) {
    if (Date.now() > deadline) throw new Error(`not within ${timeout} ms: ${what}`)
    await delay(10)
  }
}

/**
 * Waits for an event.
 * @param wait for it, unless the signal aborts
 * @param what it is, for the error
 * @param timeout in milliseconds; far above what it takes
 */
export async function inTime<T> (wait: (signal: AbortSignal) => Promise<T>, what: () => string, timeout = 120_000): Promise<T> {
  const signal = AbortSignal.timeout(timeout)
  return await wait(signal).catch((error: unknown) => {
    throw signal.aborted ? new Error(`not within ${timeout} ms: ${what()}`) : error
  })
}
