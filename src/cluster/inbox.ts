import type { Channel, ConsumeMessage } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { closeChannel } from '../rabbitmq/amqplib.js'
import { BrokerConnection } from '../rabbitmq/connection.js'
import type { BrokerOptions } from '../options/schema.js'
import type { Bindings, Binder } from './bindings.js'
import { ensureExchange } from './exchange.js'

/**
 * How many channels bind users at a time. Each channel waits for the broker's answer. Measured on two cores with 1, 2,
 * 4 and 8 channels: 2,300, 2,300, 3,300 and 4,100 binds a second on one node; 1,300, 1,200, 1,500 and 1,900 on three.
 */
const BINDERS = 8

/** The routing key that reaches every instance. No user has this id. */
export const EVERYBODY = ''

/** The routing key that reaches a single inbox. It can't be a user id, which has no control characters. */
const keyOf = (inbox: string) => `\n${inbox}`

export type Inbox = ReturnType<typeof createInbox>

export interface InboxParts {
  options: BrokerOptions
  exchange: string
  bindings: Bindings
  log: FastifyBaseLogger
  /** Handles a message that has arrived in the inbox. */
  handle (message: ConsumeMessage): void
  /** The inbox is open: peers can reply to its address. */
  opened (): void
  /** How often to check that the inbox is still bound, in milliseconds. */
  interval: number
  /** Publishes with a routing key. `done` gets whether a queue is bound to that key; undefined if unknown. */
  probe (routingKey: string, done: (isRouted: boolean | undefined) => void): void
}

/**
 * The queue of this instance. It is exclusive, and the broker chooses its name. It has its own connection, so that
 * receipts don't wait behind consumed messages. When the queue is deleted, all its bindings are deleted too.
 */
export function createInbox ({ options, exchange, bindings, log, handle, opened, interval, probe }: InboxParts) {
  let name: string | undefined
  let address = ''
  let timer: NodeJS.Timeout | undefined

  const connection = new BrokerConnection<Channel>({
    options,
    purpose: 'relay',
    log,
    createChannel: model => model.createChannel(),
    async setup (channel, model) {
      await ensureExchange(model, exchange)
      // `autoDelete`: if only the channel is lost, an exclusive queue would still collect messages that nobody reads.
      const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true, durable: false, arguments: { 'x-queue-type': 'classic' } })
      await channel.bindQueue(queue, exchange, EVERYBODY)
      await channel.bindQueue(queue, exchange, keyOf(queue))
      const channels = await Promise.all(Array.from({ length: BINDERS }, () => model.createChannel()))
      endTogether([channel, ...channels])
      const binders = channels.map(own => createBinder(own, queue))
      await channel.consume(queue, message => receive(channel, message), { noAck: true, exclusive: true })
      name = address = queue
      timer = setInterval(look, interval)
      bindings.resume(binders)
      opened()
    },
    lost () {
      clearInterval(timer)
      name = undefined
      bindings.suspend()
    }
  })

  /** If the broker closes one channel (the exchange was deleted, say), closes all, so that all is declared again. */
  function endTogether (channels: Channel[]): void {
    let isOver = false
    function end (): void {
      if (isOver) return
      isOver = true
      channels.forEach(closeChannel)
    }
    for (const channel of channels) channel.once('close', end)
  }

  function createBinder (channel: Channel, queue: string): Binder {
    channel.on('error', () => {}) // the call that caused the error rejects with it
    return {
      bind: userId => channel.bindQueue(queue, exchange, userId),
      unbind: userId => channel.unbindQueue(queue, exchange, userId)
    }
  }

  function receive (channel: Channel, message: ConsumeMessage | null): void {
    if (message === null) {
      log.warn({ queue: name }, 'relay cancelled by the broker')
      closeChannel(channel) // a new channel replaces it
      return
    }
    // A callback of amqplib must not throw: amqplib would close the channel.
    try {
      handle(message)
    } catch (err) {
      log.error({ err, type: message.properties.type }, 'relay not understood')
    }
  }

  /** If somebody deletes the exchange and creates it again, its bindings are lost, and the broker does not tell us. */
  function look (): void {
    const looked = name
    if (looked === undefined) return
    probe(keyOf(looked), isRouted => {
      if (isRouted !== false || name !== looked) return
      log.warn({ exchange }, 'relay bindings lost')
      reopen()
    })
  }

  /** Opens a new inbox: the exchange was replaced, so the bindings of this inbox are lost. */
  async function reopen (): Promise<void> {
    const { channel } = connection
    if (channel !== undefined && name !== undefined) await closeChannel(channel)
  }

  return {
    connection,

    /** Whether the inbox is open. */
    get isOpen (): boolean {
      return name !== undefined
    },

    /** The name of the current or last inbox. It tells the peers which inbox a receipt comes from. */
    get address (): string {
      return address
    },

    reopen
  }
}
