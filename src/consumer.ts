import { setMaxListeners } from 'node:events'
import type { Channel, ConsumeMessage } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { closeChannel } from './amqp.js'
import { createBrokerConnection } from './broker-connection.js'
import type { Origin } from './delivery.js'
import type { BrokerOptions } from './options.js'
import { ensureQueue } from './queue.js'
import { createSettlement, type Settlement } from './settlement.js'
import type { Stats } from './stats.js'
import { within } from './within.js'

export type Consumer = ReturnType<typeof createConsumer>

export interface ConsumerOptions {
  options: BrokerOptions
  queue: string
  stats: Stats
  log: FastifyBaseLogger
  /**
   * Takes a message over; done, or fulfilled, when its outcome is known. Its `gone` aborts when the broker will deliver
   * the message again, as its channel is dead.
   */
  handle (origin: Origin): unknown
  /** Takes a message over that could not be handled, as of an unexpected error; fulfilled when it may be settled. */
  failed (origin: Origin, error: unknown): Promise<unknown>
}

/** Consumes a queue for as long as it takes, and settles each message when its outcome is known. */
export function createConsumer ({ options, queue, stats, log, handle, failed }: ConsumerOptions) {
  const { prefetch, cluster } = options
  let settlement: Settlement | undefined
  let gone = new AbortController()
  let consumerTag: string | undefined
  let draining = false
  let isFirst = true

  const connection = createBrokerConnection<Channel>({
    options,
    purpose: 'consumer',
    queue,
    log,
    createChannel: model => model.createChannel(),
    async setup (channel, model) {
      const others = await ensureQueue(model, queue)
      if (isFirst && others > 0 && !cluster) log.warn({ queue, consumers: others }, 'another consumer takes part of the messages, for users who may be connected here: set cluster: true on all instances')
      isFirst = false
      await channel.prefetch(prefetch)
      settlement = createSettlement(channel, prefetch)
      gone = new AbortController()
      setMaxListeners(0, gone.signal) // each dead letter that waits listens to it
      const onMessage = receive.bind(undefined, channel, settlement, gone.signal)
      consumerTag = (await channel.consume(queue, onMessage)).consumerTag
    },
    lost
  })

  /** What was delivered and not acked is delivered again. */
  function lost (): void {
    settlement?.abandon()
    gone.abort()
    settlement = undefined
    consumerTag = undefined
  }

  function receive (channel: Channel, own: Settlement, gone: AbortSignal, message: ConsumeMessage | null): void {
    if (message === null) {
      // The broker cancelled the consumer: the queue was deleted, or its node went away.
      log.warn({ queue }, 'consumer cancelled by the broker')
      lost()
      closeChannel(channel) // another is opened in its place
      return
    }
    // What comes now goes back to the queue: the sockets that it might be for are about to close.
    if (draining) return
    own.track(message)
    const settle = () => { if (!own.settle(message)) stats.count('abandoned') }
    const origin: Origin = { message, queue, gone }
    try {
      const outcome = handle(origin)
      // Most outcomes are known at once: a promise for each would cost more than the look-up that it waits for.
      if (outcome instanceof Promise) outcome.then(settle, (error: unknown) => fail(origin, error, settle))
      else settle()
    } catch (error) {
      fail(origin, error, settle)
    }
  }

  /**
   * Sees to a message of which nobody knows what became: unsettled, it would hold a place of the prefetch for ever. What
   * amqplib calls must not throw, as that would close the channel.
   */
  async function fail (origin: Origin, err: unknown, settle: () => void): Promise<void> {
    if (origin.gone.aborted) return // the broker delivers it again
    log.error({ err, queue }, 'message failed unexpectedly')
    try {
      await failed(origin, err)
      settle()
    } catch (err) {
      if (!origin.gone.aborted) log.error({ err, queue }, 'message not settled')
    }
  }

  return {
    queue,
    connection,

    /** Whether there is a consumer; not so between its end and the end of its channel, too. */
    get consuming (): boolean {
      return consumerTag !== undefined && connection.channel !== undefined
    },

    /** Messages whose outcome isn't known yet. */
    get unsettled (): number {
      return settlement?.unsettled ?? 0
    },

    /** Takes no more messages, and resolves when what is in flight is settled, at the latest after a time in milliseconds. */
    async drain (timeout: number): Promise<void> {
      draining = true
      const { channel } = connection
      if (channel === undefined || consumerTag === undefined || settlement === undefined) return
      const own = settlement
      const settled = channel.cancel(consumerTag).then(() => own.settled(), () => {}) // rejected: the channel died
      await within(timeout, settled)
      own.flush()
    }
  }
}
