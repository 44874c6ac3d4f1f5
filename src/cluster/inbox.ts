import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { closeChannel } from '../rabbitmq/amqplib.js'
import { BrokerConnection } from '../rabbitmq/connection.js'
import type { BrokerOptions } from '../options/schema.js'
import { ensureExchange } from './exchange.js'
import { EVERYBODY } from './wire.js'

export interface InboxParts {
  options: BrokerOptions
  exchange: string
  log: FastifyBaseLogger
  /** Handles a message that has arrived in the inbox. */
  handle (message: ConsumeMessage): void
  /** The inbox is open: for the first time, or another one. */
  opened (): void
  /** The inbox is gone. */
  lost (): void
  /** The state of the connection has changed. */
  changed (): void
}

/**
 * The queue of this instance. It is exclusive, and the broker chooses its name. It has its own connection, so that
 * receipts don't wait behind consumed messages.
 */
export class Inbox {
  readonly connection: BrokerConnection<Channel>
  readonly #parts: InboxParts
  #name: string | undefined

  constructor (parts: InboxParts) {
    const { options, changed, log } = this.#parts = parts
    this.connection = new BrokerConnection<Channel>({
      options,
      purpose: 'relay',
      log,
      createChannel: model => model.createChannel(),
      setup: (channel, model) => this.#setUp(channel, model),
      lost: () => {
        this.#name = undefined
        parts.lost()
      },
      changed
    })
  }

  /** The name of the inbox; undefined while there is none. */
  get name (): string | undefined {
    return this.#name
  }

  /** Opens another inbox, because the bindings of this one are lost. */
  async reopen (): Promise<void> {
    const { channel } = this.connection
    if (channel !== undefined && this.#name !== undefined) await closeChannel(channel)
  }

  async #setUp (channel: Channel, model: ChannelModel): Promise<void> {
    const { exchange, opened } = this.#parts
    await ensureExchange(model, exchange)
    // `autoDelete`: if only the channel is lost, an exclusive queue would still collect messages that nobody reads.
    const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true, durable: false, arguments: { 'x-queue-type': 'classic' } })
    await channel.bindQueue(queue, exchange, EVERYBODY)
    await channel.bindQueue(queue, exchange, queue)
    await channel.consume(queue, message => this.#receive(channel, message), { noAck: true, exclusive: true })
    this.#name = queue
    opened()
  }

  #receive (channel: Channel, message: ConsumeMessage | null): void {
    const { log, handle } = this.#parts
    if (message === null) {
      log.warn({ queue: this.#name }, 'relay cancelled by the broker')
      void closeChannel(channel) // a new channel replaces it
      return
    }
    // A callback of amqplib must not throw: amqplib would close the channel.
    try {
      handle(message)
    } catch (err) {
      log.error({ err }, 'frame of a peer failed unexpectedly')
    }
  }
}
