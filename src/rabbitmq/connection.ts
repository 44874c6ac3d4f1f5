import { connect, type Channel, type ChannelModel, type RecoveringChannelModel } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import {
  closeChannel, closeModel, destroyAfterLinger, isRefusal, loginOf, loseModel, reason, surviveUndecodableProperties, withHeartbeat
} from './amqplib.js'
import { ConnectAttempts } from './connect-attempts.js'
import { ConnectionStatus, type BrokerError, type BrokerState } from './connection-status.js'
import { errors } from '../errors.js'
import { redactUrl } from '../options/redact-url.js'
import type { BrokerOptions } from '../options/schema.js'
import { ReopeningChannel, type ChannelUse } from './reopening-channel.js'
import { withTimeout } from '../with-timeout.js'

/** Retries at start with `startup: 'fail'`. By default they take less than a second if the broker answers at once. */
const STARTUP_RETRIES = 3

export interface BrokerConnectionParts<C extends Channel> extends ChannelUse<C> {
  options: BrokerOptions
  /** A part of the name that RabbitMQ shows for the connection, and a field of its log lines. */
  purpose: 'consumer' | 'publisher' | 'relay'
  /** The queue that the connection is for. @default all */
  queue?: string
  log: FastifyBaseLogger
  /** The connection takes publishes: for the first time, or again. */
  opened?: (() => void) | undefined
}

/**
 * A connection to the broker with one channel. Opens both again whenever they are lost, for as long as it takes.
 *
 * amqplib recovers connections. This class adds what amqplib doesn't see: a connection that dies during its set-up, a
 * channel that dies alone, and a broker that no longer answers.
 */
export class BrokerConnection<C extends Channel> {
  readonly #parts: BrokerConnectionParts<C>
  readonly #broker: string
  readonly #status: ConnectionStatus
  readonly #channel: ReopeningChannel<C>
  readonly #attempts = new ConnectAttempts()
  readonly #closing = new AbortController()
  #recovering: RecoveringChannelModel | undefined
  #model: ChannelModel | undefined
  /** Whether the broker takes no publishes on the latest connection. */
  #isBlocked = false
  #closeDeadline = Infinity
  #interruptSetUp = () => {}

  constructor (parts: BrokerConnectionParts<C>) {
    const { options: { amqpUrl, reconnect }, purpose, opened, log } = parts
    this.#parts = parts
    this.#broker = redactUrl(amqpUrl)
    this.#status = new ConnectionStatus({ broker: this.#broker, purpose, reconnect, opened, log })
    this.#channel = new ReopeningChannel({
      use: parts,
      status: this.#status,
      closing: this.#closing.signal,
      isInUse: model => this.#model === model && !this.#closing.signal.aborted,
      reopened: () => this.#enterOpen()
    })
  }

  /** The channel in use; undefined while there is none. */
  get channel (): C | undefined { return this.#status.state === 'closed' ? undefined : this.#channel.current }
  /** The open connection; undefined while there is none. */
  get model (): ChannelModel | undefined { return this.#model }
  get state (): BrokerState { return this.#status.state }
  /** When the state last changed. */
  get since (): Date { return this.#status.since }
  /** How often the connection, or its channel, was opened again. */
  get reconnects (): number { return this.#status.reconnects }
  /** When the broker last took publishes again. */
  get unblocked (): Date | undefined { return this.#status.unblockedAt }
  /** The last error. It stays after a recovery. */
  get lastError (): BrokerError | undefined { return this.#status.lastError }
  /** Whether the broker refuses the credentials or a permission. */
  get isRefused (): boolean { return this.#status.isRefused }

  /**
   * Connects and sets up the channel.
   * @param timeout the time limit with `startup: 'fail'`, in milliseconds
   * @returns at once with `startup: 'background'`, else when the channel is in use
   * @throws FST_NOTIFICATION_BROKER_UNREACHABLE, FST_NOTIFICATION_BROKER_REFUSED, FST_NOTIFICATION_UNUSABLE_QUEUE
   */
  async start (timeout: number): Promise<void> {
    this.#status.enter('connecting')
    const mustConnect = this.#parts.options.startup === 'fail'
    const recovering = this.#recovering = await this.#connect(mustConnect ? STARTUP_RETRIES : Infinity)
    const refused = this.#watch(recovering)
    refused.catch(() => {})
    if (!mustConnect) return
    try {
      if (!await withTimeout(timeout, Promise.race([recovering.waitForConnect(), refused]))) {
        throw this.#status.lastError?.error ?? new Error(`no answer within ${timeout} ms`)
      }
    } catch (error) {
      if (error instanceof errors.UnusableQueue) throw error
      const CodedError = isRefusal(error) ? errors.BrokerRefused : errors.BrokerUnreachable
      throw new CodedError(this.#broker, reason(error), { cause: error })
    }
  }

  /** The connection has proved useful: if it is lost, it is opened again without a long wait. */
  prove (): void {
    this.#status.stability.prove()
  }

  /** Remembers an error that has not ended the connection. */
  fail (error: Error): void {
    this.#status.fail(error)
  }

  /** Ends a connection on which the broker no longer answers. Another one is opened. */
  replace (why: string): void {
    if (this.#model !== undefined) loseModel(this.#model, why)
  }

  /**
   * Closes the channel after everything in its buffer was sent, then the connection.
   * @param timeout the time limit in milliseconds
   */
  async close (timeout: number): Promise<void> {
    const { purpose, log } = this.#parts
    this.#closeDeadline = performance.now() + timeout
    this.#closing.abort()
    this.#interruptSetUp()
    this.#status.stability.closed()
    this.#attempts.cancelNext()
    // If amqplib is stopped during a try, it opens the connection and hands it to nobody: the next error of that connection
    // is uncaught. So the try is allowed to end, if necessary after this has returned.
    const { ended } = this.#attempts
    try {
      if (ended === undefined || await withTimeout(timeout, ended)) await this.#finish()
      else ended.then(() => this.#finish()).catch((err: unknown) => log.error({ err, purpose }, 'broker not closed'))
    } finally {
      this.#status.enter('closed', true)
    }
  }

  #connect (maxRetries: number): Promise<RecoveringChannelModel> {
    const { options, purpose, queue = [options.queue].flat().join() } = this.#parts
    return connect(withHeartbeat(options.amqpUrl), {
      ...loginOf(options.amqpUrl),
      timeout: options.connectTimeout,
      noDelay: true,
      keepAlive: true,
      clientProperties: { connection_name: `fastify-notification ${purpose} of ${queue}` },
      recovery: {
        calculateDelay: () => this.#status.stability.nextDelay(),
        waitForConnect: false,
        initialMaxRetries: maxRetries,
        setup: (model: ChannelModel) => this.#setUp(model)
      }
    })
  }

  /** @returns a promise that rejects when the broker refuses the connection */
  #watch (recovering: RecoveringChannelModel): Promise<never> {
    const { signal } = this.#closing
    this.#attempts.begin()
    recovering.on('connect', () => this.#attempts.end())
    recovering.on('reconnect-scheduled', ({ delay }) => {
      if (!signal.aborted) this.#attempts.beginAfter(delay)
    })
    recovering.on('error', () => {}) // #setUp handles it, and 'disconnect' follows
    recovering.on('disconnect', error => {
      this.#model = undefined
      if (signal.aborted) return
      this.#status.fail(error)
      this.#status.lose()
    })
    return new Promise((_resolve, reject) => {
      recovering.on('connect-failed', error => {
        this.#attempts.end()
        if (signal.aborted) return
        this.#status.failToOpen(error)
        if (isRefusal(error)) reject(error)
      })
    })
  }

  /** Sets up a new connection. amqplib ignores the end of a connection until its set-up has succeeded. */
  async #setUp (model: ChannelModel): Promise<void> {
    let isDead = false
    const ended = new Promise<never>((_resolve, reject) => {
      model.once('close', error => {
        isDead = true
        destroyAfterLinger(model)
        reject(error ?? new Error('the connection was closed'))
      })
      this.#interruptSetUp = () => reject(this.#closing.signal.reason)
    })
    ended.catch(() => {})
    this.#watchBlocking(model)
    model.on('error', error => this.#status.fail(error))
    surviveUndecodableProperties(model)
    try {
      this.#closing.signal.throwIfAborted()
      await Promise.race([this.#channel.open(model), ended])
      // One packet may bring the last answer of the set-up and the end of the connection: then the connection is dead by now.
      if (isDead) await ended
    } catch (error) {
      if (!isDead) await closeModel(model, Math.min(this.#parts.options.connectTimeout, this.#timeLeft()))
      throw error
    }
    this.#model = model
    this.#enterOpen()
  }

  #watchBlocking (model: ChannelModel): void {
    this.#isBlocked = false
    model.on('blocked', () => {
      this.#isBlocked = true
      if (this.state === 'open') this.#status.enter('blocked')
    })
    model.on('unblocked', () => {
      this.#isBlocked = false
      if (this.state === 'blocked') this.#status.enter('open')
    })
  }

  #enterOpen (): void {
    this.#status.enter(this.#isBlocked ? 'blocked' : 'open')
  }

  #timeLeft (): number {
    return Math.max(0, this.#closeDeadline - performance.now())
  }

  async #finish (): Promise<void> {
    const model = this.#model
    this.#model = undefined
    try {
      if (model === undefined) return
      const channel = this.#channel.current
      if (channel !== undefined) await withTimeout(this.#timeLeft(), closeChannel(channel))
      await closeModel(model, this.#timeLeft())
    } finally {
      await this.#recovering?.close() // else amqplib would connect again
    }
  }
}
