import type { Channel, ChannelModel, Options as AmqpOptions } from 'amqplib'
import { closeChannel } from './amqplib.js'
import type { ConsumedQueue } from '../options/queues.js'
import { MAX_DELIVERY_LIMIT } from '../options/types.js'
import { errors } from '../errors.js'

/** AMQP 0-9-1 §1.2: the reply codes for a queue that doesn't exist, and for one that is exclusive to another connection. */
const NOT_FOUND = 404
const RESOURCE_LOCKED = 405
/** The reply code for arguments that the broker does not accept, or that differ from those of the queue. */
const PRECONDITION_FAILED = 406

/** Arguments that only quorum queues have. */
const QUORUM_ONLY = ['x-delivery-limit', 'x-dead-letter-strategy', 'x-overflow']

/**
 * The declaration of a queue that the plugin creates. The delivery limit is explicit: by default the broker drops a message
 * that is returned more than 20 times.
 * @param deadLetterQueue where the broker puts messages that expire or that a policy drops, at least once: a message stays
 *   in its queue until the dead-letter queue has confirmed it. Left out, the broker deletes them
 * @param isSingleActive whether the broker delivers to one consumer at a time, and to the next one when that one goes
 * @param given arguments of the application, which come before the plugin's own
 */
export function ownQueue (deadLetterQueue?: string, isSingleActive = false, given: Readonly<Record<string, unknown>> = {}): AmqpOptions.AssertQueue {
  const own: Record<string, unknown> = {
    'x-queue-type': 'quorum',
    'x-delivery-limit': MAX_DELIVERY_LIMIT,
    ...(isSingleActive && { 'x-single-active-consumer': true }),
    ...(deadLetterQueue !== undefined && {
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': deadLetterQueue,
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish' // without it the strategy is at-most-once
    })
  }
  if (given['x-queue-type'] === 'classic') for (const name of QUORUM_ONLY) delete own[name]
  return { durable: true, arguments: { ...own, ...given } }
}

/**
 * Makes sure that a queue exists. An existing queue is used as it is, whatever its arguments.
 * @param model an open connection to the broker
 * @param queue its name
 * @param declaration how to create the queue
 * @returns how many consumers the queue has, and whether it was created
 * @throws FST_NOTIFICATION_UNUSABLE_QUEUE, or the broker's error, with its reply code as `code`, if the queue may not be
 *   used or created
 */
export async function ensureQueue (
  model: ChannelModel, queue: string, declaration: AmqpOptions.AssertQueue
): Promise<{ consumerCount: number, isCreated: boolean }> {
  // If the queue doesn't exist, the broker answers a passive declare by closing the channel (AMQP 0-9-1 §1.7.2.1).
  const found = await onOwnChannel(model, channel => channel.checkQueue(queue)).catch((error: unknown) => {
    const code = codeOf(error)
    if (code === NOT_FOUND) return undefined
    if (code === RESOURCE_LOCKED) throw new errors.UnusableQueue(queue, 'it is exclusive to another connection: use a queue that is not exclusive', { cause: error })
    throw error
  })
  if (found !== undefined) return { consumerCount: found.consumerCount, isCreated: false }
  await onOwnChannel(model, channel => channel.assertQueue(queue, declaration)).catch((error: unknown) => {
    // Arguments that differ are another matter: somebody else has just created the queue, and the next try finds it.
    if (codeOf(error) !== PRECONDITION_FAILED || isInequivalent(error)) throw error
    throw new errors.UnusableQueue(queue, `the broker does not create it: ${(error as Error).message}`, { cause: error })
  })
  return { consumerCount: 0, isCreated: true }
}

/**
 * Binds a queue to exchanges. A binding that exists is left as it is.
 * @throws FST_NOTIFICATION_MISSING_EXCHANGE, FST_NOTIFICATION_UNUSABLE_QUEUE, or the broker's error
 */
export async function bindQueue (model: ChannelModel, { name, bindings }: ConsumedQueue): Promise<void> {
  if (bindings.length === 0) return
  await onOwnChannel(model, async channel => {
    for (const { exchange, routingKey = '', arguments: given = {} } of bindings) {
      await channel.bindQueue(name, exchange, routingKey, given).catch((error: unknown) => {
        const { message } = error as Error
        if (codeOf(error) === NOT_FOUND && /no exchange/.test(message)) throw new errors.MissingExchange(exchange, name, { cause: error })
        if (codeOf(error) === PRECONDITION_FAILED) throw new errors.UnusableQueue(name, `the broker does not bind it to the exchange '${exchange}': ${message}`, { cause: error })
        throw error
      })
    }
  })
}

function codeOf (error: unknown): unknown {
  return (error as { code?: unknown }).code
}

function isInequivalent (error: unknown): boolean {
  return /inequivalent arg/.test((error as Error).message)
}

/** Runs a call on a channel of its own, because the broker closes the channel at an error. */
export async function onOwnChannel<T> (model: ChannelModel, use: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await model.createChannel()
  channel.on('error', () => {}) // the call that caused the error rejects with it
  try {
    return await use(channel)
  } finally {
    await closeChannel(channel)
  }
}
