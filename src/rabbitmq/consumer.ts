import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { closeChannel } from './amqplib.js'
import { ChannelDeliveries, type MessageHandlers } from './channel-deliveries.js'
import { BrokerConnection } from './connection.js'
import type { DeadLetters } from './dead-letters.js'
import { DeclaredQueue, type Declared } from './declared-queue.js'
import { DeliveryLimitWatch } from './delivery-limit.js'
import { OtherConsumers } from './other-consumers.js'
import { errors } from '../errors.js'
import type { ConsumedQueue } from '../options/queues.js'
import type { BrokerOptions } from '../options/schema.js'
import { ReadGate } from './read-gate.js'
import { Standby } from './standby.js'
import { bindQueue, onOwnChannel, ownQueue } from './topology.js'
import type { UnsettledBytes } from './unsettled-bytes.js'
import { withTimeout } from '../with-timeout.js'

export interface ConsumerParts {
  options: BrokerOptions
  source: ConsumedQueue
  handlers: MessageHandlers
  deadLetters: DeadLetters
  /** The memory of the unsettled messages of all queues. */
  memory: UnsettledBytes
  /** Resolves when messages can be moved to the dead-letter queue, or after a time limit. */
  whenMovable (): Promise<void>
  /** The state of the connection or of the consumer has changed. */
  changed (): void
  log: FastifyBaseLogger
}

/** Consumes one queue, and consumes it again each time that the connection or the channel was lost. */
export class Consumer {
  readonly queue: string
  readonly connection: BrokerConnection<Channel>
  /** Whether another consumer of a queue with a single active consumer gets the messages. */
  readonly standby: Standby
  /** Other consumers of the queue; undefined with `cluster: true`, where they are expected. */
  readonly others: OtherConsumers | undefined
  /** How close the unsettled messages are to the delivery limit of the queue. */
  readonly limitWatch: DeliveryLimitWatch
  readonly #parts: ConsumerParts
  readonly #declared: DeclaredQueue
  /** What the current channel delivers; undefined while there is no channel. */
  #deliveries: ChannelDeliveries | undefined
  /** Reads nothing while `memory` is full; undefined while there is no channel. */
  #gate: ReadGate | undefined
  #consumerTag: string | undefined
  #isDraining = false
  #isFirstSetUp = true

  constructor (parts: ConsumerParts) {
    const { options, source, changed, log } = parts
    const queue = this.queue = source.name
    this.#parts = parts
    this.#declared = new DeclaredQueue({
      queue,
      declaration: ownQueue(options.deadLetterQueue, options.cluster, source.arguments),
      required: source.arguments,
      deliveryLimit: options.deliveryLimit,
      log
    })
    this.standby = new Standby(queue, log, changed)
    if (!options.cluster) this.others = new OtherConsumers(queue, log)
    this.limitWatch = new DeliveryLimitWatch(queue, log)
    this.connection = new BrokerConnection<Channel>({
      options,
      purpose: 'consumer',
      queue,
      log,
      createChannel: model => model.createChannel(),
      setup: (channel, model) => this.#setUp(channel, model),
      lost: () => this.#abandon(),
      changed
    })
  }

  /** Whether the broker knows this consumer. False too between the end of the consumer and the end of its channel. */
  get consuming (): boolean {
    return this.#consumerTag !== undefined && this.connection.channel !== undefined
  }

  /** How many messages have no outcome yet. */
  get unsettled (): number {
    return this.#deliveries?.unsettledCount ?? 0
  }

  /**
   * Accepts no more messages. Resolves when every message is settled, or after the timeout.
   * @param timeout in milliseconds
   */
  async drain (timeout: number): Promise<void> {
    this.#isDraining = true
    this.standby.end()
    this.others?.end()
    const deliveries = this.#deliveries
    deliveries?.stop()
    this.#gate?.end() // what comes now is not kept
    const { channel } = this.connection
    if (channel === undefined || this.#consumerTag === undefined || deliveries === undefined) return
    const settled = channel.cancel(this.#consumerTag).then(() => deliveries.allSettled(), () => {}) // rejected: the channel died
    await withTimeout(timeout, settled)
    deliveries.flush()
  }

  async #setUp (channel: Channel, model: ChannelModel): Promise<void> {
    const { options: { prefetch }, source, handlers, deadLetters, memory, whenMovable, log } = this.#parts
    const { queue, standby, limitWatch, connection } = this
    const declared = await this.#declared.declare(model)
    this.#check(declared)
    await bindQueue(model, source)
    // Each return of a message counts. So messages near the limit are taken only once they can be moved.
    if (limitWatch.isNear) await whenMovable()
    await channel.prefetch(prefetch)
    const deliveries = this.#deliveries = new ChannelDeliveries({
      channel,
      queue,
      prefetch,
      handlers,
      deadLetters,
      standby,
      limitWatch,
      memory,
      counts: limitWatch.begin(declared.deliveryLimit),
      proved: () => connection.prove(),
      log
    })
    if (this.#isDraining) return
    const onMessage = (message: ConsumeMessage | null) => {
      if (message === null) this.#consumeAnew(channel)
      else deliveries.receive(message)
    }
    const consume = async () => { this.#consumerTag = (await channel.consume(queue, onMessage)).consumerTag }
    // A message that arrives during the call below makes this consumer the active one. So standby begins before it.
    if (declared.isSingleActive === true && declared.consumerCount > 0) {
      standby.begin(() => this.#isAlone(channel, model, declared, consume))
    }
    await consume()
    if (!this.#isDraining && this.#deliveries === deliveries) this.#gate = new ReadGate(model, memory)
    if (this.#isDraining) await channel.cancel(this.#consumerTag!)
    else if (declared.isSingleActive !== true) this.others?.watch(() => this.#countConsumers(model))
  }

  /** @throws FST_NOTIFICATION_UNUSABLE_QUEUE */
  #check ({ type, risks, isSingleActive }: Declared): void {
    const { queue } = this
    const { options: { cluster }, log } = this.#parts
    if (type === 'stream') throw new errors.UnusableQueue(queue, 'it is a stream, of which a consumer gets only what comes later: use a quorum queue or a classic queue')
    if (risks.length > 0) log.warn({ queue, risks }, 'queue may lose messages before they are consumed')
    if (this.#isFirstSetUp && cluster && isSingleActive !== true) log.info({ queue }, 'several instances take messages at the same time: a user who moves between instances may get them out of order. Create the queue with x-single-active-consumer to keep the order')
    this.#isFirstSetUp = false
  }

  /**
   * The broker has cancelled the consumer: the queue was deleted, its node went down, or (RabbitMQ 4.3 and later) a message
   * was unsettled for too long.
   */
  #consumeAnew (channel: Channel): void {
    const { log } = this.#parts
    log.warn({ queue: this.queue }, 'consumer cancelled by the broker')
    this.#declared.forget()
    this.#abandon()
    void closeChannel(channel) // the connection opens another channel
  }

  /** The channel is dead: the broker delivers every unacked message again. */
  #abandon (): void {
    this.#gate?.end()
    this.#gate = undefined
    this.#deliveries?.abandon()
    this.#deliveries = undefined
    this.#consumerTag = undefined
    this.standby.end()
    this.others?.end()
  }

  /** Whether this consumer, which is on standby, is the only one. */
  async #isAlone (channel: Channel, model: ChannelModel, { type }: Declared, consume: () => Promise<void>): Promise<boolean> {
    if (type !== 'quorum') return await this.#countConsumers(model) === 1
    // Of a quorum queue, the broker counts only the active consumer. So this consumer stops, and looks for another one.
    try {
      await channel.cancel(this.#consumerTag!)
      const others = await this.#countConsumers(model)
      if (this.#isDraining) return false
      await consume()
      return others === 0
    } catch (error) {
      void closeChannel(channel) // the connection opens another channel, which consumes again
      throw error
    }
  }

  async #countConsumers (model: ChannelModel): Promise<number> {
    return (await onOwnChannel(model, channel => channel.checkQueue(this.queue))).consumerCount
  }
}
