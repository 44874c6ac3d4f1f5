import type { Channel, ChannelModel } from 'amqplib'
import { closeChannel } from './amqp.js'

/** AMQP 0-9-1 §1.2: the reply code for a queue that doesn't exist. */
const NOT_FOUND = 404

/**
 * Makes sure that a queue exists: used as it is where it does, whatever its arguments; created as a durable quorum
 * queue where not.
 * @param model an open connection to the broker
 * @param queue its name
 * @throws the broker's error, with its reply code as `code`, where the queue may not be used or created
 */
export async function ensureQueue (model: ChannelModel, queue: string): Promise<void> {
  // The broker answers a passive declare of what doesn't exist by closing the channel (AMQP 0-9-1 §1.7.2.1).
  const exists = await onOwnChannel(model, channel => channel.checkQueue(queue)).then(() => true, (error: unknown) => {
    if ((error as { code?: unknown }).code === NOT_FOUND) return false
    throw error
  })
  if (!exists) {
    await onOwnChannel(model, channel => channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } }))
  }
}

async function onOwnChannel (model: ChannelModel, use: (channel: Channel) => Promise<unknown>): Promise<void> {
  const channel = await model.createChannel()
  channel.on('error', () => {}) // the call that caused it rejects with the same
  try {
    await use(channel)
  } finally {
    await closeChannel(channel)
  }
}
