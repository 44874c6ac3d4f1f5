import type { FastifyBaseLogger } from 'fastify'
import { errors } from '../errors.js'
import { redactUrl } from '../options/redact-url.js'
import type { RedisClient } from '../options/values.js'
import { createClient, waitUntilConnected, TIMEOUT, type OwnClient, type Package } from './redis-client.js'
import { Reminder } from '../reminder.js'
import { scripts } from './scripts.js'

/** A reply of one of our scripts. */
export type Reply = ReadonlyArray<string | number> | null

type Script = keyof typeof scripts

/** The scripts that need memory. A full Redis refuses them, and runs the others. */
const GROWING: ReadonlySet<Script> = new Set<Script>(['notificationHoldAdd', 'notificationDismissalsAdd'])

/** What can fail while the rest works. */
type Part = 'connection' | 'adding' | 'others'

/** The keys of a call are on several nodes of a Redis cluster, or could be. The script has not run. */
export class CrossSlotError extends Error {}

/** Whether a call failed because Redis is full: it has reached its `maxmemory`. Redis has kept nothing of the call. */
export function isFull (error: unknown): boolean {
  return error instanceof errors.HoldFailed && error.cause instanceof Error && error.cause.message.startsWith('OOM ')
}

type Command = (...args: Array<string | number>) => Promise<Reply>

/** What learns of the state of the connection. */
export interface RedisHooks {
  /** The connection has begun to fail, or works again. */
  changed? (): void
  log?: FastifyBaseLogger | undefined
}

/**
 * Connects to a URL, or uses a client of the application.
 * @returns when the client is connected, or when its first try has failed. After a failed try, `failing` is true, and
 *   the client keeps trying
 * @throws FST_NOTIFICATION_HOLD_NO_CLIENT if `redis` is a URL and ioredis is not installed
 */
export async function connectRedis (redis: string | RedisClient, hooks: RedisHooks = {}, load?: () => Promise<Package>): Promise<RedisConnection> {
  const connection = typeof redis === 'string'
    ? new RedisConnection(await createClient(redis, load), hooks, redactUrl(redis))
    : new RedisConnection(redis, hooks)
  await connection.waitUntilConnected()
  return connection
}

/**
 * A connection to Redis. Every call succeeds or fails within two seconds. Calls fail at once while Redis can't be
 * reached, and while a call that timed out has no reply yet: no calls pile up.
 */
export class RedisConnection {
  readonly #client: RedisClient
  /** The client, if it is ours; undefined if it is the application's. */
  readonly #own: OwnClient | undefined
  /** Begins each error message. */
  readonly #where: string
  readonly #hooks: RedisHooks
  readonly #reminder = new Reminder()
  readonly #failed = new Set<Part>()
  #lastError: { readonly error: unknown, readonly at: Date } | undefined
  #connectionError: unknown
  #isClosed = false
  /** Number of calls that timed out and have not been answered yet. */
  #unansweredCount = 0

  /** @param ownUrl the URL of our own client, without its password; undefined for a client of the application */
  constructor (client: RedisClient, hooks: RedisHooks, ownUrl?: string) {
    this.#client = client
    this.#hooks = hooks
    this.#own = ownUrl === undefined ? undefined : client as OwnClient
    this.#where = ownUrl === undefined ? '' : `${ownUrl}, `
    client.on('ready', this.#onReady)
    client.on('close', this.#onClose)
    // An application must listen to its own client. A listener of ours would hide that it doesn't.
    this.#own?.on('error', error => {
      this.#connectionError = error
      this.#fail(reasonOf(error), error)
    })
    for (const [name, script] of Object.entries(scripts)) client.defineCommand(name, script)
  }

  /**
   * Whether the client can't be used: a call or the connection failed, and none has succeeded since. Only a call that adds
   * shows that adding works again: a full Redis can be read.
   */
  get failing (): boolean {
    // A connection that was closed normally has emitted no error.
    if (this.#failed.size === 0 && this.#client.status !== 'ready') this.#failUnconnected()
    return this.#failed.size > 0
  }

  /** Whether keys of several users may be on different nodes. */
  get isCluster (): boolean {
    return this.#client.isCluster === true
  }

  /** The last failure. */
  get lastError (): { readonly error: unknown, readonly at: Date } | undefined {
    return this.#lastError
  }

  /** Resolves when the client is connected, when it has reported an error, or when its time is up. */
  async waitUntilConnected (): Promise<void> {
    if (!await waitUntilConnected(this.#client, this.#own)) this.#fail(`not connected within ${TIMEOUT} ms`)
  }

  /**
   * Runs a script.
   * @param handle turns the reply into the result. It is also called for a reply that comes too late, because the
   *   script has run
   * @throws CrossSlotError
   * @throws FST_NOTIFICATION_HOLD_FAILED
   */
  async call<T> (script: Script, keys: string[], args: Array<string | number>, handle: (reply: Reply) => T): Promise<T> {
    this.#assertUsable()
    const part = GROWING.has(script) ? 'adding' : 'others'
    const result = (this.#client as unknown as Record<string, Command>)[script]!(...keys, ...args).then(reply => {
      this.#work(part)
      return handle(reply)
    })
    const late = Symbol('late')
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<typeof late>(resolve => { timer = setTimeout(resolve, TIMEOUT, late) })
    let first: T | typeof late
    try {
      first = await Promise.race([result, timeout])
    } catch (error) {
      if (reasonOf(error).startsWith('CROSSSLOT ')) throw new CrossSlotError('the keys are on several nodes', { cause: error })
      throw this.#fail(reasonOf(error), error, part)
    } finally {
      clearTimeout(timer)
    }
    if (first !== late) return first as T
    this.#unansweredCount++
    const answered = () => { this.#unansweredCount-- }
    result.then(answered, answered)
    throw this.#fail(`no answer within ${TIMEOUT} ms`)
  }

  /** Closes the connection if the client is ours. A client of the application stays open. */
  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#client.off('ready', this.#onReady)
    this.#client.off('close', this.#onClose)
    if (this.#own === undefined) return
    if (this.#own.status === 'ready') await this.#own.quit().catch(() => {}) // `socketTimeout` limits this
    this.#own.disconnect()
  }

  readonly #onReady = (): void => {
    this.#connectionError = undefined
    this.#work('adding', 'others')
  }

  readonly #onClose = (): void => {
    this.#failUnconnected()
  }

  /** @throws FST_NOTIFICATION_HOLD_FAILED */
  #assertUsable (): void {
    if (this.#isClosed) throw this.#fail('closed')
    // A client that is not connected might queue the call.
    if (this.#client.status !== 'ready') throw this.#failUnconnected()
    if (this.#unansweredCount > 0) throw this.#fail('no answer to an earlier call yet')
  }

  #failUnconnected (): Error {
    const error = this.#connectionError
    return this.#fail(error === undefined ? 'not connected' : `not connected: ${reasonOf(error)}`, error)
  }

  /** Notes a failure, and returns the error that tells it. */
  #fail (why: string, cause?: unknown, part: Part = 'connection'): Error {
    const error = cause === undefined
      ? new errors.HoldFailed(this.#where + why)
      : new errors.HoldFailed(this.#where + why, { cause: withoutArguments(cause) })
    const isNew = this.#failed.size === 0
    this.#failed.add(part)
    this.#lastError = { error, at: new Date() }
    if (this.#isClosed) return error
    if (isNew) this.#hooks.changed?.()
    if (this.#reminder.isDue()) this.#hooks.log?.warn({ err: error }, 'hold failed')
    return error
  }

  /** Notes a success. It shows that the connection works too. */
  #work (...parts: Part[]): void {
    if (this.#failed.size === 0) return
    for (const part of ['connection', ...parts] as const) this.#failed.delete(part)
    if (this.#failed.size > 0) return
    this.#reminder.reset()
    this.#hooks.log?.info('hold works again')
    this.#hooks.changed?.()
  }
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
