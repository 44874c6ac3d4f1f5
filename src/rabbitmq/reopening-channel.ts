import { setTimeout as delay } from 'node:timers/promises'
import type { Channel, ChannelModel } from 'amqplib'
import { closeChannel } from './amqplib.js'
import type { ConnectionStatus } from './connection-status.js'

/** What a channel is opened for. */
export interface ChannelUse<C extends Channel> {
  createChannel (model: ChannelModel): Promise<C>
  /** Declares what the channel needs, and begins to use the channel. Runs for each new channel. */
  setup (channel: C, model: ChannelModel): Promise<void>
  /**
   * The channel is dead; another one will be opened.
   * @param why the error with which the broker closed the channel, if there was one
   */
  lost (why: Error | undefined): void
}

export interface ReopeningChannelParts<C extends Channel> {
  use: ChannelUse<C>
  status: ConnectionStatus
  /** Aborts when the connection is being closed. */
  closing: AbortSignal
  /** Whether a connection is the current one, and is not being closed. */
  isInUse (model: ChannelModel): boolean
  /** The channel was opened again after it had died alone. */
  reopened (): void
}

/** The one channel of a connection. If it dies and the connection stays open, opens another one. */
export class ReopeningChannel<C extends Channel> {
  readonly #parts: ReopeningChannelParts<C>
  #current: C | undefined

  constructor (parts: ReopeningChannelParts<C>) {
    this.#parts = parts
  }

  /** The open channel; undefined while there is none. */
  get current (): C | undefined {
    return this.#current
  }

  /** Opens the channel on a connection and sets it up. */
  async open (model: ChannelModel): Promise<void> {
    const { use, status, isInUse } = this.#parts
    const channel = await use.createChannel(model)
    let isUsable = false
    let why: Error | undefined
    channel.on('error', error => {
      why = error
      status.fail(error)
    })
    // Runs before amqplib fails the unconfirmed publishes: amqplib doesn't know why the channel was closed.
    channel.prependOnceListener('close', () => {
      if (this.#current === channel) this.#current = undefined
      status.stability.closed()
      use.lost(why)
      // A dying connection closes its channels first. In the next turn it is known whether the connection is dead.
      if (isUsable) setImmediate(() => { if (isInUse(model)) void this.#reopen(model) })
    })
    this.#current = channel
    try {
      await use.setup(channel, model)
      if (this.#current !== channel) throw status.lastError?.error ?? new Error('the channel was closed')
    } catch (error) {
      if (this.#current === channel) await closeChannel(channel)
      throw why ?? error
    }
    isUsable = true
    status.stability.opened()
  }

  async #reopen (model: ChannelModel): Promise<void> {
    const { status, closing, isInUse, reopened } = this.#parts
    status.lose()
    while (isInUse(model)) {
      await delay(status.stability.nextDelay(), undefined, { signal: closing }).catch(() => {})
      if (!isInUse(model)) return
      try {
        await this.open(model)
        if (isInUse(model)) reopened()
        return
      } catch (error) {
        if (isInUse(model)) status.failToOpen(error as Error)
      }
    }
  }
}
