import type { ChannelModel } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { isRefusal } from './amqplib.js'
import type { BackoffOptions } from '../backoff.js'
import { Stability } from './stability.js'

export type BrokerState = 'connecting' | 'open' | 'blocked' | 'closed'

/** An error of the broker or of the connection to it, and the time of the error. */
export interface BrokerError {
  readonly error: Error
  readonly at: Date
}

export interface ConnectionStatusParts {
  /** Returns the URL of the broker without its password. */
  broker (): string
  purpose: string
  reconnect: BackoffOptions
  /** The connection takes publishes: for the first time, or again. */
  opened: (() => void) | undefined
  /** The state has changed. */
  changed (): void
  log: FastifyBaseLogger
}

/** Knows the state of a connection and logs its changes, without repeating the same trouble at each try to connect. */
export class ConnectionStatus {
  readonly stability: Stability
  readonly #parts: ConnectionStatusParts
  #state: BrokerState = 'closed'
  /** How often it was opened, but for the first time. */
  #reconnects = -1
  #lastError: BrokerError | undefined
  #loggedState: BrokerState | undefined
  /** Why the broker takes no publishes on the latest connection, in its own words; undefined if it takes them. */
  #alarm: string | undefined

  constructor (parts: ConnectionStatusParts) {
    this.#parts = parts
    this.stability = new Stability(parts.reconnect, () => { if (this.#loggedState !== this.#state) this.#log() })
  }

  get state (): BrokerState { return this.#state }
  get reconnects (): number { return Math.max(0, this.#reconnects) }
  /** The last error since the connection was last open; of a blocked connection, why it is blocked. */
  get lastError (): BrokerError | undefined { return this.#lastError }

  /** Whether the broker refuses the credentials or a permission. */
  get isRefused (): boolean {
    return this.#state === 'connecting' && isRefusal(this.#lastError?.error)
  }

  /**
   * Changes the state.
   * @param isNews whether to log it. @default true. While the connection is lost again and again, false: `open` is logged
   *   when the connection has proved useful
   */
  enter (next: BrokerState, isNews = !this.stability.isFlapping): void {
    if (this.#state === next) return
    if (this.#state === 'connecting' && next !== 'closed') this.#reconnects++
    this.#state = next
    if (next === 'open') this.#lastError = undefined
    if (next === 'blocked') this.fail(new Error(`the broker takes no publishes: ${this.#alarm}`))
    if (isNews) this.#log()
    this.#parts.changed()
    if (this.#state === 'open') this.#parts.opened?.()
  }

  /** The connection, or its channel, is open. */
  enterOpen (): void {
    this.enter(this.#alarm === undefined ? 'open' : 'blocked')
  }

  /** Follows whether the broker takes publishes on a new connection. */
  watchBlocking (model: ChannelModel): void {
    this.#alarm = undefined
    model.on('blocked', why => {
      this.#alarm = why
      if (this.#state === 'open') this.enter('blocked')
    })
    model.on('unblocked', () => {
      this.#alarm = undefined
      if (this.#state === 'blocked') this.enter('open')
    })
  }

  /** The connection, or its channel, was lost and will be opened again. */
  lose (): void {
    if (this.#state === 'connecting') return
    this.stability.lost()
    const isNewReason = this.stability.isNews(this.#lastError?.error ?? new Error('the channel was closed'))
    this.enter('connecting', isNewReason || this.#loggedState !== 'connecting')
  }

  /** A try to open the connection or the channel failed. Logs each reason once, not each try. */
  failToOpen (error: Error): void {
    const { broker, purpose, log } = this.#parts
    this.fail(error)
    if (this.stability.isNews(error)) log.warn({ broker: broker(), purpose, err: error }, `broker ${purpose} cannot connect`)
  }

  /** Remembers an error. */
  fail (error: Error): void {
    this.#lastError = { error, at: new Date() }
  }

  #log (): void {
    const { broker, purpose, log } = this.#parts
    const state = this.#state
    const isTrouble = state === 'blocked' || (state === 'connecting' && this.#loggedState !== undefined)
    this.#loggedState = state
    const why = state === 'blocked' ? { reason: this.#alarm } : isTrouble && { err: this.#lastError?.error }
    log[isTrouble ? 'warn' : 'info']({ broker: broker(), purpose, state, ...why }, `broker ${purpose} ${state}`)
  }
}
