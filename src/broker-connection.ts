import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connect, type Channel, type ChannelModel, type RecoveringChannelModel } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { errors } from './errors.js'
import { redactUrl, type BrokerOptions } from './options.js'

/** RabbitMQ's guide to heartbeats: 5 to 20 s suit most environments. A dead peer is seen after two to three. */
const HEARTBEAT_SECONDS = 10

/** Tries at start with `startup: 'fail'`, beside the first: with doubled waits from 100 ms, within a second. */
const STARTUP_RETRIES = 3

/** How long a peer gets to answer our end of a TCP connection before it is destroyed, in milliseconds. */
const LINGER = 1_000

export type BrokerState = 'connecting' | 'open' | 'blocked' | 'closed'

export interface BrokerConnectionOptions<C extends Channel> {
  options: BrokerOptions
  /** What this connection is for: shown by RabbitMQ as the connection's name, and in logs. */
  purpose: 'consumer' | 'publisher'
  log: FastifyBaseLogger
  createChannel (model: ChannelModel): Promise<C>
  /** Declares what is needed and begins to use the channel. Runs again whenever there is a new channel. */
  setup (channel: C, model: ChannelModel): Promise<void>
  /** The channel is dead; there will be another. */
  lost (): void
}

export type BrokerConnection = ReturnType<typeof createBrokerConnection>

/**
 * One connection to the broker with one channel on it, both opened again for as long as it takes.
 *
 * amqplib's recovery sees to the connection. What it doesn't see is done here: a connection that dies while it is
 * being set up, a channel that dies alone, and a peer that no longer answers.
 */
export function createBrokerConnection<C extends Channel> (
  { options, purpose, log, createChannel, setup, lost }: BrokerConnectionOptions<C>
) {
  const broker = redactUrl(options.amqpUrl)
  const closing = new AbortController()
  let recovering: RecoveringChannelModel | undefined
  let model: ChannelModel | undefined
  let channel: C | undefined
  let state: BrokerState = 'closed'
  let blocked = false
  let since = new Date()
  let lastError: Error | undefined

  function enter (next: BrokerState, level: 'info' | 'warn' = 'info'): void {
    if (state === next) return
    state = next
    since = new Date()
    log[level]({ broker, purpose, state, ...(level === 'warn' && { err: lastError }) }, `broker ${purpose} ${state}`)
  }

  /** amqplib listens to a connection only after its set-up has succeeded: until then its end is ours to see. */
  async function setUpConnection (opened: ChannelModel): Promise<void> {
    let dead = false
    blocked = false
    opened.on('error', error => { lastError = error })
    opened.on('blocked', () => {
      blocked = true
      if (state === 'open') enter('blocked', 'warn')
    })
    opened.on('unblocked', () => {
      blocked = false
      if (state === 'blocked') enter('open')
    })
    const closed = new Promise<never>((_resolve, reject) => {
      opened.once('close', error => {
        dead = true
        destroyAfterLinger(opened)
        reject(error ?? new Error('the connection was closed'))
      })
    })
    closed.catch(() => {})
    try {
      await Promise.race([openChannel(opened), closed])
      // Set-up and the end of the connection may come in one packet: then both have happened by now.
      if (dead) await closed
    } catch (error) {
      if (!dead) await closeModel(opened, options.connectTimeout)
      throw error
    }
    model = opened
    enter(blocked ? 'blocked' : 'open')
  }

  async function openChannel (opened: ChannelModel): Promise<void> {
    const fresh = await createChannel(opened)
    let usable = false
    fresh.on('error', error => { lastError = error })
    fresh.once('close', () => {
      if (channel === fresh) channel = undefined
      lost()
      if (usable && isInUse(opened)) reopenChannel(opened)
    })
    channel = fresh
    await setup(fresh, opened)
    if (channel !== fresh) throw lastError ?? new Error('the channel was closed')
    usable = true
  }

  function isInUse (opened: ChannelModel): boolean {
    return model === opened && !closing.signal.aborted
  }

  /** The connection lives, its channel doesn't: that channel alone is opened again. */
  async function reopenChannel (opened: ChannelModel): Promise<void> {
    enter('connecting', 'warn')
    let wait = options.reconnect.initialDelay
    while (isInUse(opened)) {
      try {
        await delay(wait * (0.8 + 0.4 * Math.random()), undefined, { signal: closing.signal })
        await openChannel(opened)
        if (isInUse(opened)) enter(blocked ? 'blocked' : 'open')
        return
      } catch (error) {
        if (!closing.signal.aborted) lastError = error as Error
        wait = Math.min(wait * 2, options.reconnect.maxDelay)
      }
    }
  }

  function connectWithRecovery (maxRetries: number): Promise<RecoveringChannelModel> {
    return connect(withHeartbeat(options.amqpUrl), {
      timeout: options.connectTimeout,
      noDelay: true,
      keepAlive: true,
      clientProperties: { connection_name: `fastify-notification ${purpose} of ${options.queue}` },
      recovery: {
        ...options.reconnect,
        waitForConnect: false,
        initialMaxRetries: maxRetries,
        setup: setUpConnection
      }
    })
  }

  return {
    /**
     * Connects and sets up.
     * @param timeout with `startup: 'fail'`, how long that may take in all, in milliseconds
     * @returns at once with `startup: 'background'`, else when the channel is in use
     * @throws FST_NOTIFICATION_BROKER_UNREACHABLE, FST_NOTIFICATION_BROKER_REFUSED
     */
    async start (timeout: number): Promise<void> {
      enter('connecting')
      const mustConnect = options.startup === 'fail'
      const connection = await connectWithRecovery(mustConnect ? STARTUP_RETRIES : Infinity)
      recovering = connection
      connection.on('error', () => {}) // seen in setUpConnection, and followed by 'disconnect'
      connection.on('disconnect', error => {
        model = undefined
        if (closing.signal.aborted) return
        lastError = error
        enter('connecting', 'warn')
      })
      const refused = new Promise<never>((_resolve, reject) => {
        connection.on('connect-failed', error => {
          if (closing.signal.aborted) return
          // A line for each new reason, not for each try.
          if (lastError === undefined || reason(error) !== reason(lastError)) {
            log.warn({ broker, purpose, err: error }, `broker ${purpose} cannot connect`)
          }
          lastError = error
          // Credentials don't become right by trying them again.
          if (isRefusal(error)) reject(error)
        })
      })
      refused.catch(() => {})
      if (!mustConnect) return
      try {
        if (!await within(timeout, Promise.race([connection.waitForConnect(), refused]))) {
          throw lastError ?? new Error(`no answer within ${timeout} ms`)
        }
      } catch (error) {
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

    get lastError (): Error | undefined {
      return lastError
    },

    /** Closes the channel, and with it whatever it still has to send, then the connection, within a time limit in milliseconds. */
    async close (timeout: number): Promise<void> {
      closing.abort()
      const open = model
      model = undefined
      if (open !== undefined) {
        if (channel !== undefined) await within(timeout, channel.close()).catch(() => {})
        await closeModel(open, timeout)
      }
      await recovering?.close()
      enter('closed')
    }
  }
}

function withHeartbeat (amqpUrl: string): string {
  const url = new URL(amqpUrl)
  if (!url.searchParams.has('heartbeat')) url.searchParams.set('heartbeat', String(HEARTBEAT_SECONDS))
  return url.href
}

/** What amqplib says when the broker closes the connection instead of opening the virtual host. */
const NO_VIRTUAL_HOST = /^Expected ConnectionOpenOk; got <ConnectionClose/

/** Credentials (AMQP 0-9-1 §1.1: 403 access-refused) and virtual hosts don't become right by trying them again. */
function isRefusal (error: unknown): error is Error {
  return error instanceof Error && (/ACCESS[-_]REFUSED/.test(error.message) || NO_VIRTUAL_HOST.test(error.message))
}

/** An error in words, also where Node gathers several addresses' errors into one without a message. */
export function reason (error: unknown): string {
  const { message, code } = error as { message?: string, code?: string }
  if (message !== undefined && NO_VIRTUAL_HOST.test(message)) return 'the virtual host is not there, or not for this user'
  return message || code || String(error)
}

/** Whether a promise was fulfilled within a time limit in milliseconds. */
async function within (timeout: number, promise: Promise<unknown>): Promise<boolean> {
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

/** Closes a connection in an orderly way; where the peer doesn't answer in time, ends it. */
async function closeModel (model: ChannelModel, timeout: number): Promise<void> {
  const closed = new Promise<void>(resolve => model.once('close', () => resolve()))
  const answered = Promise.race([model.close().catch(() => {}), closed])
  if (await within(timeout, answered)) return
  model.on('error', () => {})
  socketOf(model).destroy(new Error('the broker did not answer'))
}

/** After a connection's end amqplib waits for the peer's: a frozen one would keep the process alive for minutes. */
function destroyAfterLinger (model: ChannelModel): void {
  const socket = socketOf(model)
  const timer = setTimeout(() => socket.destroy(), LINGER)
  socket.once('close', () => clearTimeout(timer))
}

/** amqplib's types leave out the connection's socket. */
function socketOf (model: ChannelModel): Socket {
  return (model.connection as unknown as { stream: Socket }).stream
}
