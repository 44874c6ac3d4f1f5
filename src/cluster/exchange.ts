import type { ChannelModel } from 'amqplib'
import { onOwnChannel } from '../queue.js'

/** AMQP 0-9-1 §1.2: the reply code for an exchange that doesn't exist. */
const NOT_FOUND = 404

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
