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
  /** The URL of the broker without its password. */
  broker: string
  purpose: string
  reconnect: BackoffOptions
  /** The connection takes publishes: for the first time, or again. */
  opened: (() => void) | undefined
  log: FastifyBaseLogger
}

/** Knows the state of a connection and logs its changes, without repeating the same trouble at each try to connect. */
export class ConnectionStatus {
  readonly stability: Stability
  readonly #parts: ConnectionStatusParts
  #state: BrokerState = 'closed'
  #since = new Date()
  /** How often it was opened, but for the first time. */
  #reconnects = -1
  #unblockedAt: Date | undefined
  #lastError: BrokerError | undefined
  #loggedState: BrokerState | undefined

  constructor (parts: ConnectionStatusParts) {
    this.#parts = parts
    this.stability = new Stability(parts.reconnect, () => { if (this.#loggedState !== this.#state) this.#log() })
  }

  get state (): BrokerState { return this.#state }
  get since (): Date { return this.#since }
  get reconnects (): number { return Math.max(0, this.#reconnects) }
  get unblockedAt (): Date | undefined { return this.#unblockedAt }
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
    if (this.#state === 'blocked') this.#unblockedAt = new Date()
    if (this.#state === 'connecting' && next !== 'closed') this.#reconnects++
    this.#state = next
    this.#since = new Date()
    if (isNews) this.#log()
    if (this.#state === 'open') this.#parts.opened?.()
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
    if (this.stability.isNews(error)) log.warn({ broker, purpose, err: error }, `broker ${purpose} cannot connect`)
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
    log[isTrouble ? 'warn' : 'info']({ broker, purpose, state, ...(isTrouble && { err: this.#lastError?.error }) }, `broker ${purpose} ${state}`)
  }
}
