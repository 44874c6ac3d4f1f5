import type { Channel, ChannelModel } from 'amqplib'
import { closeChannel } from './amqp.js'

/** AMQP 0-9-1 §1.2: the reply code for a queue that doesn't exist. */
const NOT_FOUND = 404

/**
 * Makes sure that a queue exists: used as it is where it does, whatever its arguments; created as a durable quorum
 * queue where not.
 * @param model an open connection to the broker
 * @param queue its name
 * @returns how many consumers it has
 * @throws the broker's error, with its reply code as `code`, where the queue may not be used or created
 */
export async function ensureQueue (model: ChannelModel, queue: string): Promise<number> {
  // The broker answers a passive declare of what doesn't exist by closing the channel (AMQP 0-9-1 §1.7.2.1).
  const found = await onOwnChannel(model, channel => channel.checkQueue(queue)).catch((error: unknown) => {
    if ((error as { code?: unknown }).code === NOT_FOUND) return undefined
    throw error
  })
  if (found !== undefined) return found.consumerCount
  await onOwnChannel(model, channel => channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } }))
  return 0
}

/** Uses a channel of its own, which the broker closes at an error. */
export async function onOwnChannel<T> (model: ChannelModel, use: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await model.createChannel()
  channel.on('error', () => {}) // the call that caused it rejects with the same
  try {
    return await use(channel)
  } finally {
    await closeChannel(channel)
  }
}
