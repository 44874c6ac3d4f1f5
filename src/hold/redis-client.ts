import { errors } from '../errors.js'
import { redactUrl } from '../options/redact-url.js'
import type { RedisClient } from '../options/values.js'
import { scripts } from './scripts.js'

interface OwnClient extends RedisClient {
  on (event: 'ready' | 'error', listener: (error: unknown) => void): unknown
  quit (): Promise<unknown>
  disconnect (): void
}

interface Package { Redis: new (url: string, options: object) => OwnClient }

/** A reply of one of our scripts. */
export type Reply = ReadonlyArray<string | number> | null

type Command = (...args: Array<string | number>) => Promise<Reply>

/** How long a call, or the first connection, may take, in milliseconds. */
const TIMEOUT = 2_000

/** Maximum time that our client waits before it reconnects, in milliseconds. */
const MAX_RETRY_DELAY = 1_000

/**
 * Connects to a URL, or uses a client of the application. Every call succeeds or fails within two seconds. Calls fail
 * at once while Redis can't be reached, and while a call that timed out has no reply yet: no calls pile up.
 * @returns when the client is connected, or when its first try has failed. After a failed try, `failing` is true, and
 *   the client keeps trying
 * @throws FST_NOTIFICATION_HOLD_NO_CLIENT if `redis` is a URL and ioredis is not installed
 */
export async function connectRedis (redis: string | RedisClient, load?: () => Promise<Package>) {
  const own = typeof redis === 'string' ? await createClient(redis, load) : undefined
  const client = own ?? redis as RedisClient
  const where = typeof redis === 'string' ? `${redactUrl(redis)}, ` : ''
  let failing = false
  let lastError: { readonly error: unknown, readonly at: Date } | undefined
  let connectionError: unknown
  let closed = false
  /** Number of calls that timed out and have not been answered yet. */
  let owed = 0

  function fail (why: string, cause?: unknown): Error {
    const error = cause === undefined
      ? new errors.HoldFailed(where + why)
      : new errors.HoldFailed(where + why, { cause: withoutArguments(cause) })
    failing = true
    lastError = { error, at: new Date() }
    return error
  }

  function failUnconnected (): Error {
    return fail(connectionError === undefined ? 'not connected' : `not connected: ${reasonOf(connectionError)}`, connectionError)
  }

  function onReady (): void {
    connectionError = undefined
    failing = false
  }

  client.on('ready', onReady)
  // An application must listen to its own client. A listener of ours would hide that it doesn't.
  own?.on('error', error => {
    connectionError = error
    fail(reasonOf(error), error)
  })
  for (const [name, lua] of Object.entries(scripts)) client.defineCommand(name, { lua, numberOfKeys: 3 })
  if (!await connected(client, own)) fail(`not connected within ${TIMEOUT} ms`)

  return {
    /**
     * Runs a script.
     * @param keys keys of one hash slot
     * @param handle turns the reply into the result. It is also called for a reply that comes too late, because the
     *   script has run
     * @throws FST_NOTIFICATION_HOLD_FAILED
     */
    async call<T> (script: keyof typeof scripts, keys: string[], args: Array<string | number>, handle: (reply: Reply) => T): Promise<T> {
      if (closed) throw fail('closed')
      // A client that is not connected might queue the call.
      if (client.status !== 'ready') throw failUnconnected()
      if (owed > 0) throw fail('no answer to an earlier call yet')

      const result = (client as unknown as Record<string, Command>)[script]!(...keys, ...args).then(reply => {
        failing = false
        return handle(reply)
      })
      const late = Symbol('late')
      let timer: NodeJS.Timeout | undefined
      const timeout = new Promise<typeof late>(resolve => { timer = setTimeout(resolve, TIMEOUT, late) })
      let first: T | typeof late
      try {
        first = await Promise.race([result, timeout])
      } catch (error) {
        throw fail(reasonOf(error), error)
      } finally {
        clearTimeout(timer)
      }
      if (first !== late) return first as T
      owed++
      const answered = () => { owed-- }
      result.then(answered, answered)
      throw fail(`no answer within ${TIMEOUT} ms`)
    },

    get failing () {
      // A connection that was closed normally has emitted no error.
      if (!failing && client.status !== 'ready') failUnconnected()
      return failing
    },
    get lastError () { return lastError },

    /** Closes the connection if the client is ours. A client of the application stays open. */
    async close (): Promise<void> {
      if (closed) return
      closed = true
      client.off('ready', onReady)
      if (own === undefined) return
      if (own.status === 'ready') await own.quit().catch(() => {}) // `socketTimeout` limits this
      own.disconnect()
    }
  }
}

async function createClient (url: string, load: () => Promise<Package> = async () => await import('ioredis')): Promise<OwnClient> {
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

/** Whether the client connects, or reports an error, within the time limit. */
async function connected (client: RedisClient, own: OwnClient | undefined): Promise<boolean> {
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

/**
 * Copies an error without the arguments of the command. ioredis attaches them, so a password or a notification would
 * get into logs.
 */
function withoutArguments (error: unknown): Error {
  const { name, stack, code } = error as Error & { code?: string }
  const plain: Error & { code?: string } = new Error(reasonOf(error))
  plain.name = name
  if (stack !== undefined) plain.stack = stack
  if (code !== undefined) plain.code = code
  return plain
}

function reasonOf (error: unknown): string {
  const { message, code } = error as { message?: string, code?: string }
  return message || code || String(error)
}
