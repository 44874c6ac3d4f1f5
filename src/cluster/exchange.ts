import type { ChannelModel } from 'amqplib'
import { queuesOf, type BrokerOptions } from '../options/schema.js'
import { onOwnChannel } from '../rabbitmq/topology.js'

/** AMQP 0-9-1 §1.2: the reply code for an exchange that doesn't exist. */
const NOT_FOUND = 404

/** A routing key by which nobody is bound: there are no control characters in a user id, and an inbox has more than this. */
export const NOBODY = '\n'

/** The name of the exchange between the instances. */
export function exchangeOf (options: BrokerOptions): string {
  return options.relay.exchange ?? `${queuesOf(options)[0]}.relay`
}

/**
 * Makes sure that the exchange between the instances exists, durable, as transient ones are going.
 * @param model an open connection to the broker
 * @param exchange its name
 * @returns whether it had to be created: then nobody is bound to it
 * @throws the broker's error, with its reply code as `code`: one of that name and another type is there
 */
export async function ensureExchange (model: ChannelModel, exchange: string): Promise<boolean> {
  const exists = await onOwnChannel(model, channel => channel.checkExchange(exchange)).then(() => true, (error: unknown) => {
    if ((error as { code?: unknown }).code === NOT_FOUND) return false
    throw error
  })
  await onOwnChannel(model, channel => channel.assertExchange(exchange, 'direct', { durable: true }))
  return !exists
}
