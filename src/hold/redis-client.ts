import { errors } from '../errors.js'
import type { RedisClient } from '../options/values.js'

/** A client of ioredis that is ours. */
export interface OwnClient extends RedisClient {
  on (event: 'ready' | 'close' | 'error', listener: (error: unknown) => void): unknown
  quit (): Promise<unknown>
  disconnect (): void
}

/** The package ioredis. */
export interface Package { Redis: new (url: string, options: object) => OwnClient }

/** How long a call, or the first connection, may take, in milliseconds. */
export const TIMEOUT = 2_000

/** Maximum time that our client waits before it reconnects, in milliseconds. */
const MAX_RETRY_DELAY = 1_000

/**
 * Creates our own client.
 * @throws FST_NOTIFICATION_HOLD_NO_CLIENT if ioredis is not installed
 */
export async function createClient (url: string, load: () => Promise<Package> = async () => await import('ioredis')): Promise<OwnClient> {
  let Redis: Package['Redis']
  try {
    ({ Redis } = await load())
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new errors.HoldNoClient({ cause: error })
  }
  return new Redis(url, {
    connectionName: 'fastify-notification-hold',
    connectTimeout: TIMEOUT,
    // If a connection falls silent, it is closed, and all calls that wait for it fail. This includes the login.
    socketTimeout: TIMEOUT,
    // A call fails if its connection is lost before the reply. The caller decides whether to try again.
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    retryStrategy: (times: number) => Math.min(times * 50, MAX_RETRY_DELAY)
  })
}

/**
 * Waits until the client connects or reports an error.
 * @param own the client if it is ours: only our own client is listened to for errors
 * @returns false if the time limit passed first
 */
export async function waitUntilConnected (client: RedisClient, own: OwnClient | undefined): Promise<boolean> {
  if (client.status === 'ready') return true
  if (client.status === 'wait') client.connect().catch(() => {}) // made with lazyConnect; events report the result
  return await new Promise(resolve => {
    const done = (inTime: boolean) => () => {
      clearTimeout(timer)
      client.off('ready', onReady)
      resolve(inTime)
    }
    const onReady = done(true)
    const timer = setTimeout(done(false), TIMEOUT)
    client.on('ready', onReady)
    own?.on('error', done(true))
  })
}
