import type { Channel, ConsumeMessage } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { closeChannel } from '../rabbitmq/amqplib.js'
import { BrokerConnection } from '../rabbitmq/connection.js'
import type { BrokerOptions } from '../options/schema.js'
import type { Bindings, Binder } from './bindings.js'
import { ensureExchange } from './exchange.js'

/**
 * So many channels bind users at a time, each of which waits for the broker's answer. Measured on two cores with 1, 2, 4
 * and 8 of them: 2,300, 2,300, 3,300 and 4,100 binds a second on one node; 1,300, 1,200, 1,500 and 1,900 on three.
 */
const BINDERS = 8

/** The routing key by which every instance is reached; no user has it. */
export const EVERYBODY = ''

/** The routing key by which an inbox is reached alone: there are no control characters in a user id. */
const keyOf = (inbox: string) => `\n${inbox}`

export type Inbox = ReturnType<typeof createInbox>

export interface InboxParts {
  options: BrokerOptions
  exchange: string
  bindings: Bindings
  log: FastifyBaseLogger
  /** Takes what comes. */
  handle (message: ConsumeMessage): void
  /** It is open: there is an address for answers. */
  opened (): void
  /** How often is looked whether it is still bound, in milliseconds. */
  interval: number
  /** Publishes to whoever is bound by a routing key; told whether there is one, undefined where it isn't known. */
  probe (routingKey: string, done: (isRouted: boolean | undefined) => void): void
}

/**
 * The queue of this instance, exclusive and named by the broker, on a connection of its own: receipts don't wait behind
 * the messages that are consumed, and all bindings go with it.
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
      // Deleted with its consumer too: one that lost its channel alone would take what nobody reads.
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

  /** Where the broker closes one, as the exchange is gone, say, all is declared again. */
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
    channel.on('error', () => {}) // the call that caused it rejects with the same
    return {
      bind: userId => channel.bindQueue(queue, exchange, userId),
      unbind: userId => channel.unbindQueue(queue, exchange, userId)
    }
  }

  function receive (channel: Channel, message: ConsumeMessage | null): void {
    if (message === null) {
      log.warn({ queue: name }, 'relay cancelled by the broker')
      closeChannel(channel) // another is opened in its place
      return
    }
    // What amqplib calls must not throw: it would close the channel.
    try {
      handle(message)
    } catch (err) {
      log.error({ err, type: message.properties.type }, 'relay not understood')
    }
  }

  /** Deleted and created again by somebody else, an exchange has forgotten those who were bound, and they don't learn of it. */
  function look (): void {
    const looked = name
    if (looked === undefined) return
    probe(keyOf(looked), isRouted => {
      if (isRouted !== false || name !== looked) return
      log.warn({ exchange }, 'relay bindings lost')
      reopen()
    })
  }

  /** Begins anew: the exchange is not the one that was bound to. */
  async function reopen (): Promise<void> {
    const { channel } = connection
    if (channel !== undefined && name !== undefined) await closeChannel(channel)
  }

  return {
    connection,

    /** Whether there is one. */
    get isOpen (): boolean {
      return name !== undefined
    },

    /** Its name, or that of the last one: by which the others know who answers. */
    get address (): string {
      return address
    },

    reopen
  }
}
