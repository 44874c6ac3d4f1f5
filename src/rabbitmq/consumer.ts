import { setMaxListeners } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { closeChannel } from './amqplib.js'
import { createBrokerConnection } from './connection.js'
import type { DeadLetters } from './dead-letters.js'
import { DeclaredQueue, type Declared } from './declared-queue.js'
import { DeliveryLimitWatch, treatmentOf, type ReturnCounts } from './delivery-limit.js'
import { errors } from '../errors.js'
import type { BrokerOptions } from '../options/schema.js'
import { QueueMessage, type NearLimit } from './queue-message.js'
import { onOwnChannel, ownQueue } from './topology.js'
import { createSettlement, type Settlement } from './ack-batcher.js'
import { Standby } from './standby.js'
import { within } from '../with-timeout.js'
import { withoutText } from '../without-text.js'

export type Consumer = ReturnType<typeof createConsumer>

export interface ConsumerOptions {
  options: BrokerOptions
  queue: string
  deadLetters: DeadLetters
  /** An outcome was known only after the channel of its message had died. */
  abandoned (): void
  log: FastifyBaseLogger
  /**
   * Takes a message over; done, or fulfilled, when its outcome is known. Its `gone` aborts when the broker will deliver
   * the message again, as its channel is dead.
   */
  handle (message: QueueMessage): unknown
  /** Takes a message over that could not be handled, as of an unexpected error; fulfilled when it may be settled. */
  failed (message: QueueMessage, error: unknown): Promise<unknown>
  /** Resolves when messages can be moved to the dead-letter queue, or after a while. */
  whenMovable (): Promise<void>
}

/** Consumes a queue for as long as it takes, and settles each message when its outcome is known. */
export function createConsumer ({ options, queue, deadLetters, abandoned, log, handle, failed, whenMovable }: ConsumerOptions) {
  const { prefetch, cluster, deadLetterQueue, deliveryLimit } = options
  const source = new DeclaredQueue({ queue, declaration: ownQueue(deadLetterQueue), deliveryLimit, log })
  const standby = new Standby(queue, log)
  const limitWatch = new DeliveryLimitWatch(queue, log)
  let settlement: Settlement | undefined
  let gone = new AbortController()
  let consumerTag: string | undefined
  let draining = false
  let isFirst = true
  /** Whether the channel has settled a message. */
  let isProving = false

  const connection = createBrokerConnection<Channel>({
    options,
    purpose: 'consumer',
    queue,
    log,
    createChannel: model => model.createChannel(),
    async setup (channel, model) {
      const declared = await source.declare(model)
      const { consumerCount, isSingleActive, risks } = declared
      if (declared.type === 'stream') throw new errors.UnusableQueue(queue, 'it is a stream, of which a consumer gets only what comes later: use a quorum queue or a classic queue')
      if (risks.length > 0) log.warn({ queue, risks }, 'queue may lose messages before they are consumed')
      if (isFirst && consumerCount > 0 && !cluster && isSingleActive !== true) log.warn({ queue, consumers: consumerCount }, 'another consumer takes part of the messages, for users who may be connected here: set cluster: true on all instances')
      isFirst = false
      // Each return counts: nothing is taken that might have to be moved, and can't be.
      if (limitWatch.isNear) await whenMovable()
      await channel.prefetch(prefetch)
      settlement = createSettlement(channel, prefetch)
      isProving = false
      gone = new AbortController()
      setMaxListeners(0, gone.signal) // each dead letter that waits listens to it
      const onMessage = receive.bind(undefined, channel, { settlement, gone: gone.signal, counts: limitWatch.begin(declared.deliveryLimit) })
      const consume = async () => { consumerTag = (await channel.consume(queue, onMessage)).consumerTag }
      if (draining) return
      // What is delivered at once says that this consumer is the active one.
      if (isSingleActive === true && consumerCount > 0) standby.begin(() => isAlone(channel, model, declared, consume))
      await consume()
      if (draining) await channel.cancel(consumerTag!)
    },
    lost
  })

  /** What was delivered and not acked is delivered again. */
  function lost (): void {
    settlement?.abandon()
    gone.abort()
    settlement = undefined
    consumerTag = undefined
    standby.end()
  }

  /**
   * The first message of a channel is settled: the connection has proved useful, once the broker has taken the ack. Of
   * acks it confirms none, but it answers in order: whatever it answers later shows that it has taken them.
   */
  async function prove (channel: Channel): Promise<void> {
    isProving = true
    try {
      await setImmediate() // acks go out at the end of the turn
      await channel.prefetch(prefetch)
      connection.prove()
    } catch {} // the channel is dead
  }

  /** Whether a consumer on standby is the only one. */
  async function isAlone (channel: Channel, model: ChannelModel, { type }: Declared, consume: () => Promise<void>): Promise<boolean> {
    const countConsumers = async () => (await onOwnChannel(model, own => own.checkQueue(queue))).consumerCount
    if (type !== 'quorum') return await countConsumers() === 1
    // Of a quorum queue the broker counts the active consumer alone, whoever that is: without this one, another one.
    try {
      await channel.cancel(consumerTag!)
      const others = await countConsumers()
      if (draining) return false
      await consume()
      return others === 0
    } catch (error) {
      closeChannel(channel) // another is opened in its place, and consumes
      throw error
    }
  }

  /** What a channel delivers, and what is known of it. */
  interface Deliveries {
    readonly settlement: Settlement
    readonly gone: AbortSignal
    readonly counts: ReturnCounts
  }

  function receive (channel: Channel, { settlement: own, gone, counts }: Deliveries, message: ConsumeMessage | null): void {
    if (message === null) {
      // The broker cancelled the consumer: the queue was deleted, its node went away, or, from RabbitMQ 4.3 on, a message
      // was unsettled for too long.
      log.warn({ queue }, 'consumer cancelled by the broker')
      source.forget()
      lost()
      closeChannel(channel) // another is opened in its place
      return
    }
    const deliveryCount = limitWatch.count(counts, message)
    const near = nearLimit(deliveryCount)
    // What comes now goes back to the queue: the sockets that it might be for are about to close. What the broker would
    // then drop is moved all the same.
    if (draining && near?.treatment !== 'move') return
    own.track(message)
    if (standby.isOn) standby.activate()
    const settle = () => {
      if (deliveryCount > 0) counts.delete(message.fields.deliveryTag)
      if (!own.settle(message)) abandoned()
      else if (!isProving) prove(channel)
    }
    const arrived = new QueueMessage(message, queue, gone, deadLetters, near)
    try {
      const outcome = handle(arrived)
      // Most outcomes are known at once: a promise for each would cost more than the look-up that it waits for.
      if (outcome instanceof Promise) outcome.then(settle, (error: unknown) => fail(arrived, error, settle))
      else settle()
    } catch (error) {
      fail(arrived, error, settle)
    }
  }

  function nearLimit (deliveryCount: number): NearLimit | undefined {
    if (deliveryCount === 0) return undefined
    const { limit: deliveryLimit } = limitWatch
    const treatment = treatmentOf(deliveryCount, deliveryLimit)
    return treatment === 'route' ? undefined : { deliveryCount, deliveryLimit, treatment }
  }

  /**
   * Sees to a message of which nobody knows what became: unsettled, it would hold a place of the prefetch for ever. What
   * amqplib calls must not throw, as that would close the channel.
   */
  async function fail (message: QueueMessage, err: unknown, settle: () => void): Promise<void> {
    if (message.gone.aborted) return // the broker delivers it again
    log.error({ error: withoutText(err), queue }, 'message failed unexpectedly')
    try {
      await failed(message, err)
      settle()
    } catch (err) {
      if (!message.gone.aborted) log.error({ err, queue }, 'message not settled')
    }
  }

  return {
    queue,
    connection,
    /** Whether another consumer of a queue with a single active consumer gets the messages. */
    standby,

    /** How close what is unsettled comes to the delivery limit of the queue. */
    limitWatch,

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
      standby.end()
      const { channel } = connection
      if (channel === undefined || consumerTag === undefined || settlement === undefined) return
      const own = settlement
      const settled = channel.cancel(consumerTag).then(() => own.settled(), () => {}) // rejected: the channel died
      await within(timeout, settled)
      own.flush()
    }
  }
}
