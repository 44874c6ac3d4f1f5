import { setTimeout as delay } from 'node:timers/promises'
import type { Channel, ChannelModel } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { closeChannel, closeModel, destroyAfterLinger, isRefusal, loseModel, toStartError } from './amqplib.js'
import { ConnectionStatus, type BrokerError, type BrokerState } from './connection-status.js'
import { gatherWrites } from './gather-writes.js'
import { readDeliveries } from './delivery-reader.js'
import { Dialer } from './dialer.js'
import { queuesOf, type BrokerOptions } from '../options/schema.js'
import { ReopeningChannel, type ChannelUse } from './reopening-channel.js'
import { withTimeout } from '../with-timeout.js'

/** Retries at start with `startup: 'fail'`, or one try for each host if there are more. By default they take less than a second if the broker answers at once. */
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
  /** The state has changed. */
  changed (): void
}

/**
 * A connection to the broker with one channel. Opens both again whenever they are lost, for as long as it takes.
 *
 * amqplib can recover connections too. But it asks for no credentials before a try, knows one host only, and doesn't see a
 * connection that dies during its set-up, a channel that dies alone, and a broker that no longer answers.
 */
export class BrokerConnection<C extends Channel> {
  readonly #parts: BrokerConnectionParts<C>
  readonly #dialer: Dialer
  readonly #status: ConnectionStatus
  readonly #channel: ReopeningChannel<C>
  readonly #closing = new AbortController()
  /** Ends when nothing is tried any more. */
  #running: Promise<void> | undefined
  #model: ChannelModel | undefined
  #closeDeadline = Infinity
  #interruptSetUp = () => {}

  constructor (parts: BrokerConnectionParts<C>) {
    const { options, purpose, queue = queuesOf(options).join(), opened, changed, log } = parts
    const dialer = this.#dialer = new Dialer(options, `${purpose} of ${queue}`)
    this.#parts = parts
    this.#status = new ConnectionStatus({ broker: () => dialer.target, purpose, reconnect: options.reconnect, opened, changed, log })
    this.#channel = new ReopeningChannel({
      use: parts,
      status: this.#status,
      closing: this.#closing.signal,
      isInUse: model => this.#model === model && !this.#closing.signal.aborted,
      reopened: () => this.#status.enterOpen()
    })
  }

  /** The channel in use; undefined while there is none. */
  get channel (): C | undefined { return this.#status.state === 'closed' ? undefined : this.#channel.current }
  /** The open connection; undefined while there is none. */
  get model (): ChannelModel | undefined { return this.#model }
  get state (): BrokerState { return this.#status.state }
  /** The RabbitMQ user of the latest try; empty if the broker takes the user from the client certificate. */
  get user (): string { return this.#dialer.user }
  /** How often the connection, or its channel, was opened again. */
  get reconnects (): number { return this.#status.reconnects }
  /** The last error since the connection was last open; of a blocked connection, why it is blocked. */
  get lastError (): BrokerError | undefined { return this.#status.lastError }
  /** Whether the broker refuses the credentials or a permission. */
  get isRefused (): boolean { return this.#status.isRefused }

  /**
   * Connects and sets up the channel.
   * @param timeout the time limit with `startup: 'fail'`, in milliseconds
   * @returns at once with `startup: 'background'`, else when the channel is in use
   * @throws FST_NOTIFICATION_BROKER_UNREACHABLE, FST_NOTIFICATION_BROKER_REFUSED, FST_NOTIFICATION_UNUSABLE_QUEUE,
   *   FST_NOTIFICATION_MISSING_EXCHANGE
   */
  async start (timeout: number): Promise<void> {
    this.#status.enter('connecting')
    const mustConnect = this.#parts.options.startup === 'fail'
    const connected = new Promise<void>((resolve, reject) => {
      this.#running = this.#run(mustConnect, resolve, reject)
    })
    connected.catch(() => {})
    if (!mustConnect) return
    try {
      if (!await withTimeout(timeout, connected)) throw this.#status.lastError?.error ?? new Error(`no answer within ${timeout} ms`)
    } catch (error) {
      throw toStartError(this.#dialer.targets, error)
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
    this.#closeDeadline = performance.now() + timeout
    this.#closing.abort()
    this.#interruptSetUp()
    this.#status.stability.closed()
    const model = this.#model
    this.#model = undefined
    try {
      if (model !== undefined) await this.#closeInOrder(model)
      // A try can't be interrupted. It ends by itself after `connectTimeout`, if necessary after this has returned.
      if (this.#running !== undefined) await withTimeout(this.#timeLeft(), this.#running)
    } finally {
      this.#status.enter('closed', true)
    }
  }

  /** Opens the connection, and opens it again each time that it has ended, until it is closed. */
  async #run (mustConnect: boolean, connected: () => void, failed: (error: Error) => void): Promise<void> {
    const { signal } = this.#closing
    for (let tries = 0, isFirst = true; !signal.aborted; this.#dialer.turn()) {
      try {
        const { ended } = await this.#open()
        isFirst = false
        connected()
        const error = await ended
        if (signal.aborted) return
        this.#model = undefined
        this.#status.fail(error)
        this.#status.lose()
      } catch (error) {
        if (signal.aborted) return
        this.#status.failToOpen(error as Error)
        if (mustConnect && isFirst && (isRefusal(error) || tries++ >= Math.max(STARTUP_RETRIES, this.#dialer.hosts - 1))) return failed(error as Error)
      }
      await delay(this.#status.stability.nextDelay(), undefined, { signal }).catch(() => {})
    }
  }

  /**
   * Opens a connection and sets it up.
   * @returns the error with which the connection ends, once it has ended
   */
  async #open (): Promise<{ readonly ended: Promise<Error> }> {
    const model = await this.#dialer.dial()
    let isDead = false
    const ended = new Promise<Error>(resolve => {
      model.once('close', error => {
        isDead = true
        destroyAfterLinger(model)
        resolve(error ?? new Error('the connection was closed'))
      })
    })
    const interrupted = new Promise<never>((_resolve, reject) => {
      this.#interruptSetUp = () => reject(this.#closing.signal.reason)
    })
    interrupted.catch(() => {})
    this.#watch(model)
    try {
      this.#closing.signal.throwIfAborted()
      const failed = ended.then(error => { throw error })
      failed.catch(() => {}) // handled only during the set-up
      await Promise.race([this.#channel.open(model), failed, interrupted])
      // One packet may bring the last answer of the set-up and the end of the connection: then the connection is dead by now.
      if (isDead) await failed
    } catch (error) {
      if (!isDead) await closeModel(model, Math.min(this.#parts.options.connectTimeout, this.#timeLeft()))
      throw error
    }
    this.#model = model
    this.#status.enterOpen()
    return { ended }
  }

  #watch (model: ChannelModel): void {
    const isKnown = [readDeliveries(model), gatherWrites(model)].every(Boolean)
    if (!isKnown) this.#parts.log.warn('this version of amqplib is unknown: messages take more time')
    model.on('error', error => this.#status.fail(error))
    model.on('handler-error', error => this.#status.fail(error)) // without a listener it would be thrown
    this.#status.watchBlocking(model)
  }

  #timeLeft (): number {
    return Math.max(0, this.#closeDeadline - performance.now())
  }

  async #closeInOrder (model: ChannelModel): Promise<void> {
    // During an alarm the broker reads nothing more from the connection, and so doesn't answer. amqplib knows that for the
    // connection, but not for the channel.
    const channel = this.state === 'blocked' ? undefined : this.#channel.current
    if (channel !== undefined) await withTimeout(this.#timeLeft(), closeChannel(channel))
    await closeModel(model, this.#timeLeft())
  }
}
