import type { ChannelModel, ConfirmChannel } from 'amqplib'
import { withTimeout } from '../with-timeout.js'

/** An exchange, and a routing key that no queue is bound with. */
export interface ProbedExchange {
  readonly name: string
  readonly nobody: string
}

/**
 * Asks the broker whether publishing is allowed. Publishes an empty message to each exchange; no queue gets it.
 * @param timeout the time limit in milliseconds
 * @param allowed called when the broker has confirmed every publish
 * @returns when publishing is allowed, or when an alarm keeps the broker from answering
 * @throws if the broker refuses, or does not answer
 */
export async function checkPublishPermission (
  channel: ConfirmChannel, model: ChannelModel, exchanges: readonly ProbedExchange[], timeout: number, allowed: () => void
): Promise<void> {
  const answered = Promise.all(exchanges.map(async ({ name, nobody }) => {
    await new Promise<void>((resolve, reject) => {
      channel.publish(name, nobody, Buffer.alloc(0), { mandatory: true }, (error: unknown) => error == null ? resolve() : reject(error))
    })
  })).then(allowed)
  let proceed = () => {}
  const blocked = new Promise<void>(resolve => { proceed = resolve })
  model.once('blocked', proceed)
  try {
    if (!await withTimeout(timeout, Promise.race([answered, blocked]))) throw new Error(`no publish was confirmed within ${timeout} ms`)
  } finally {
    answered.catch(() => {}) // the channel is lost
    model.off('blocked', proceed)
  }
}
