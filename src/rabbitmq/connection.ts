import { setTimeout as delay } from 'node:timers/promises'
import { connect, type Channel, type ChannelModel, type RecoveringChannelModel } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import {
  closeChannel, closeModel, destroyAfterLinger, isRefusal, loginOf, loseModel, reason, surviveUndecodableProperties, withHeartbeat
} from './amqplib.js'
import { errors } from '../errors.js'
import type { BrokerOptions } from '../options/schema.js'
import { redactUrl } from '../options/redact-url.js'
import { Stability } from './stability.js'
import { within } from '../with-timeout.js'

/** Tries at start with `startup: 'fail'`, beside the first: by default within a second, where the broker answers at once. */
const STARTUP_RETRIES = 3

export type BrokerState = 'connecting' | 'open' | 'blocked' | 'closed'

/** An error of the broker or on the way to it, and when it came. */
export interface BrokerError {
  readonly error: Error
  readonly at: Date
}

export interface BrokerConnectionOptions<C extends Channel> {
  options: BrokerOptions
  /** What this connection is for: shown by RabbitMQ as the connection's name, and in logs. */
  purpose: 'consumer' | 'publisher' | 'relay'
  /** The queue that it is for. @default all */
  queue?: string
  log: FastifyBaseLogger
  createChannel (model: ChannelModel): Promise<C>
  /** Declares what is needed and begins to use the channel. Runs again whenever there is a new channel. */
  setup (channel: C, model: ChannelModel): Promise<void>
  /**
   * The channel is dead; there will be another.
   * @param why the error with which the broker closed it, if it did
   */
  lost (why: Error | undefined): void
  /** It is in use: for the first time, again, or the broker takes publishes again. */
  opened?: (() => void) | undefined
}

/**
 * One connection to the broker with one channel on it, both opened again for as long as it takes.
 *
 * amqplib's recovery sees to the connection. What it doesn't see is done here: a connection that dies while it is
 * being set up, a channel that dies alone, and a peer that no longer answers.
 */
export function createBrokerConnection<C extends Channel> (
  { options, purpose, queue = [options.queue].flat().join(), log, createChannel, setup, lost, opened: inUse }: BrokerConnectionOptions<C>
) {
  const broker = redactUrl(options.amqpUrl)
  const closing = new AbortController()
  let closeDeadline = Infinity
  let interruptSetUp = () => {}
  let recovering: RecoveringChannelModel | undefined
  /** The try to connect that is under way; undefined between tries. */
  let attempt: { ended: Promise<void>, end (): void } | undefined
  let nextAttempt: NodeJS.Timeout | undefined
  let model: ChannelModel | undefined
  let channel: C | undefined
  let state: BrokerState = 'closed'
  let reconnects = -1
  let blocked = false
  let unblocked: Date | undefined
  let since = new Date()
  let last: BrokerError | undefined
  /** The state that was logged last. */
  let logged: BrokerState | undefined
  const stability = new Stability(options.reconnect, () => { if (logged !== state) logState() })

  /** @param isNews whether to log it. @default that it is open again is logged when it has proved useful, where it is lost again and again */
  function enter (next: BrokerState, isNews = !stability.isFlapping): void {
    if (state === next) return
    if (state === 'blocked') unblocked = new Date()
    if (state === 'connecting' && next !== 'closed') reconnects++
    state = next
    since = new Date()
    if (isNews) logState()
    if (state === 'open') inUse?.()
  }

  function logState (): void {
    const isTrouble = state === 'blocked' || (state === 'connecting' && logged !== undefined)
    logged = state
    log[isTrouble ? 'warn' : 'info']({ broker, purpose, state, ...(isTrouble && { err: last?.error }) }, `broker ${purpose} ${state}`)
  }

  /** It was in use, and is to be opened again. */
  function lose (): void {
    if (state === 'connecting') return
    stability.lost()
    const isNewReason = stability.isNews(last?.error ?? new Error('the channel was closed'))
    enter('connecting', isNewReason || logged !== 'connecting')
  }

  /** A try to open it failed: logged once for each reason, not for each try. */
  function failToOpen (error: Error): void {
    fail(error)
    if (stability.isNews(error)) log.warn({ broker, purpose, err: error }, `broker ${purpose} cannot connect`)
  }

  function fail (error: Error): void {
    last = { error, at: new Date() }
  }

  /** amqplib listens to a connection only after its set-up has succeeded: until then its end is ours to see. */
  async function setUpConnection (opened: ChannelModel): Promise<void> {
    let dead = false
    blocked = false
    opened.on('error', fail)
    opened.on('blocked', () => {
      blocked = true
      if (state === 'open') enter('blocked')
    })
    opened.on('unblocked', () => {
      blocked = false
      if (state === 'blocked') enter('open')
    })
    const ended = new Promise<never>((_resolve, reject) => {
      opened.once('close', error => {
        dead = true
        destroyAfterLinger(opened)
        reject(error ?? new Error('the connection was closed'))
      })
      interruptSetUp = () => reject(closing.signal.reason)
    })
    ended.catch(() => {})
    surviveUndecodableProperties(opened)
    try {
      closing.signal.throwIfAborted()
      await Promise.race([openChannel(opened), ended])
      // Set-up and the end of the connection may come in one packet: then both have happened by now.
      if (dead) await ended
    } catch (error) {
      if (!dead) await closeModel(opened, Math.min(options.connectTimeout, timeLeft()))
      throw error
    }
    model = opened
    enter(blocked ? 'blocked' : 'open')
  }

  async function openChannel (opened: ChannelModel): Promise<void> {
    const fresh = await createChannel(opened)
    let usable = false
    let why: Error | undefined
    fresh.on('error', error => {
      why = error
      fail(error)
    })
    // Before amqplib fails the publishes that were not confirmed: it does not know why the channel was closed.
    fresh.prependOnceListener('close', () => {
      if (channel === fresh) channel = undefined
      stability.closed()
      lost(why)
      // The channels of a connection die before it: whether it does, is known in the next turn.
      if (usable) setImmediate(() => { if (isInUse(opened)) reopenChannel(opened) })
    })
    channel = fresh
    try {
      await setup(fresh, opened)
      if (channel !== fresh) throw last?.error ?? new Error('the channel was closed')
    } catch (error) {
      if (channel === fresh) await closeChannel(fresh)
      throw why ?? error
    }
    usable = true
    stability.opened()
  }

  function isInUse (opened: ChannelModel): boolean {
    return model === opened && !closing.signal.aborted
  }

  /** The connection lives, its channel doesn't: that channel alone is opened again. */
  async function reopenChannel (opened: ChannelModel): Promise<void> {
    lose()
    while (isInUse(opened)) {
      await delay(stability.nextDelay(), undefined, { signal: closing.signal }).catch(() => {})
      if (!isInUse(opened)) return
      try {
        await openChannel(opened)
        if (isInUse(opened)) enter(blocked ? 'blocked' : 'open')
        return
      } catch (error) {
        if (isInUse(opened)) failToOpen(error as Error)
      }
    }
  }

  function connectWithRecovery (maxRetries: number): Promise<RecoveringChannelModel> {
    return connect(withHeartbeat(options.amqpUrl), {
      ...loginOf(options.amqpUrl),
      timeout: options.connectTimeout,
      noDelay: true,
      keepAlive: true,
      clientProperties: { connection_name: `fastify-notification ${purpose} of ${queue}` },
      recovery: {
        calculateDelay: () => stability.nextDelay(),
        waitForConnect: false,
        initialMaxRetries: maxRetries,
        setup: setUpConnection
      }
    })
  }

  function beginAttempt (): void {
    let end = () => {}
    const ended = new Promise<void>(resolve => { end = resolve })
    attempt = { ended, end }
  }

  function endAttempt (): void {
    attempt?.end()
    attempt = undefined
  }

  function timeLeft (): number {
    return Math.max(0, closeDeadline - performance.now())
  }

  async function finish (): Promise<void> {
    const open = model
    model = undefined
    try {
      if (open === undefined) return
      if (channel !== undefined) await within(timeLeft(), closeChannel(channel))
      await closeModel(open, timeLeft())
    } finally {
      await recovering?.close() // else it would connect again
    }
  }

  return {
    /**
     * Connects and sets up.
     * @param timeout with `startup: 'fail'`, how long that may take in all, in milliseconds
     * @returns at once with `startup: 'background'`, else when the channel is in use
     * @throws FST_NOTIFICATION_BROKER_UNREACHABLE, FST_NOTIFICATION_BROKER_REFUSED, FST_NOTIFICATION_UNUSABLE_QUEUE
     */
    async start (timeout: number): Promise<void> {
      enter('connecting')
      const mustConnect = options.startup === 'fail'
      const connection = await connectWithRecovery(mustConnect ? STARTUP_RETRIES : Infinity)
      recovering = connection
      beginAttempt()
      connection.on('connect', endAttempt)
      connection.on('reconnect-scheduled', ({ delay }) => {
        if (!closing.signal.aborted) nextAttempt = setTimeout(beginAttempt, delay)
      })
      connection.on('error', () => {}) // seen in setUpConnection, and followed by 'disconnect'
      connection.on('disconnect', error => {
        model = undefined
        if (closing.signal.aborted) return
        fail(error)
        lose()
      })
      const refused = new Promise<never>((_resolve, reject) => {
        connection.on('connect-failed', error => {
          endAttempt()
          if (closing.signal.aborted) return
          failToOpen(error)
          if (isRefusal(error)) reject(error)
        })
      })
      refused.catch(() => {})
      if (!mustConnect) return
      try {
        if (!await within(timeout, Promise.race([connection.waitForConnect(), refused]))) {
          throw last?.error ?? new Error(`no answer within ${timeout} ms`)
        }
      } catch (error) {
        if (error instanceof errors.UnusableQueue) throw error
        const CodedError = isRefusal(error) ? errors.BrokerRefused : errors.BrokerUnreachable
        throw new CodedError(broker, reason(error), { cause: error })
      }
    },

    /** The channel in use, or undefined while there is none. */
    get channel (): C | undefined {
      return state === 'closed' ? undefined : channel
    },

    /** The open connection, or undefined while there is none. */
    get model (): ChannelModel | undefined {
      return model
    },

    get state (): BrokerState {
      return state
    },

    get since (): Date {
      return since
    },

    /** How often it, or its channel, was opened again. */
    get reconnects (): number {
      return Math.max(0, reconnects)
    },

    /** When the broker last took publishes again. */
    get unblocked (): Date | undefined {
      return unblocked
    },

    /** What went wrong last; it stays after it was mended. */
    get lastError (): BrokerError | undefined {
      return last
    },

    /** Whether the broker refuses what it is for: the credentials or a permission. */
    get isRefused (): boolean {
      return state === 'connecting' && isRefusal(last?.error)
    },

    /** It has proved useful: when it is lost, it is opened again at once. */
    prove (): void {
      stability.prove()
    },

    /** Something on it went wrong, without being its end. */
    fail,

    /** Opens another connection in the place of one on which nothing goes on. */
    replace (why: string): void {
      if (model !== undefined) loseModel(model, why)
    },

    /**
     * Closes the channel, with whatever it still has to send, then the connection.
     * @param timeout how long that may take in all, in milliseconds
     */
    async close (timeout: number): Promise<void> {
      closeDeadline = performance.now() + timeout
      closing.abort()
      interruptSetUp()
      stability.closed()
      clearTimeout(nextAttempt)
      // Stopped in the middle of a try, amqplib would open the connection and hand it to nobody, and its next error
      // would be an uncaught one. So the try is let come to its end, if need be after this has returned.
      const ended = attempt?.ended
      try {
        if (ended === undefined || await within(timeout, ended)) await finish()
        else ended.then(finish).catch((err: unknown) => log.error({ err, purpose }, 'broker not closed'))
      } finally {
        enter('closed', true)
      }
    }
  }
}
