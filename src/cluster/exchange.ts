import type { ChannelModel } from 'amqplib'
import { queuesOf, type BrokerOptions } from '../options/schema.js'
import { onOwnChannel } from '../rabbitmq/topology.js'

/** AMQP 0-9-1 §1.2: the reply code for an exchange that doesn't exist. */
const NOT_FOUND = 404

/** A routing key to which no queue is bound: inboxes are bound with their names, and with the empty key. */
export const NOBODY = '\n'

/** The name of the exchange that connects the instances. */
export function exchangeOf (options: BrokerOptions): string {
  return options.relay.exchange ?? `${queuesOf(options)[0]}.relay`
}

/**
 * Makes sure that the exchange that connects the instances exists. It is durable, because RabbitMQ deprecates transient
 * exchanges.
 * @param model an open connection to the broker
 * @param exchange the name of the exchange
 * @returns whether the exchange was created: then nothing is bound to it
 * @throws the broker's error, with its reply code as `code`, if an exchange of that name and another type exists
 */
export async function ensureExchange (model: ChannelModel, exchange: string): Promise<boolean> {
  const exists = await onOwnChannel(model, channel => channel.checkExchange(exchange)).then(() => true, (error: unknown) => {
    if ((error as { code?: unknown }).code === NOT_FOUND) return false
    throw error
  })
  await onOwnChannel(model, channel => channel.assertExchange(exchange, 'direct', { durable: true }))
  return !exists
}
