import { setTimeout as delay } from 'node:timers/promises'

/** Minimum number of connections in a batch: 10,000 clients reconnect over 5 s, not all at once. */
const MIN_BATCH = 100
/** The pause between two batches, in milliseconds. */
const INTERVAL = 50

/**
 * Divides connections that are to be closed into batches, with a pause between two batches.
 * @param timeout how long the pauses may take in all, in milliseconds
 */
export async function * inBatches<T> (connections: readonly T[], timeout: number): AsyncGenerator<readonly T[], void, undefined> {
  const batchCount = Math.max(1, Math.floor(timeout / INTERVAL))
  const size = Math.max(MIN_BATCH, Math.ceil(connections.length / batchCount))
  for (let from = 0; from < connections.length; from += size) {
    if (from > 0) await delay(INTERVAL)
    yield connections.slice(from, from + size)
  }
}
