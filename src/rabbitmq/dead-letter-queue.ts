import type { ChannelModel } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { DeclaredQueue } from './declared-queue.js'
import type { BrokerOptions } from '../options/schema.js'
import { MAX_DELIVERY_LIMIT } from '../options/types.js'
import { ownQueue } from './topology.js'

/** Makes sure that the dead-letter queue exists. */
export class DeadLetterQueue {
  readonly #name: string
  readonly #queue: DeclaredQueue
  readonly #log: FastifyBaseLogger
  #hasWarned = false
  #isMissing = false
  /** The declaration in progress. */
  #declaring: Promise<void> | undefined

  constructor ({ deadLetterQueue: queue, deliveryLimit }: BrokerOptions, log: FastifyBaseLogger) {
    this.#name = queue
    this.#queue = new DeclaredQueue({ queue, declaration: ownQueue(), deliveryLimit, log })
    this.#log = log
  }

  /** The broker has returned a message: the queue does not exist. */
  markMissing (): void {
    this.#isMissing = true
  }

  /** Declares the queue. Warns once of a delivery limit: tools that look at dead letters and put them back return them. */
  async declare (model: ChannelModel): Promise<void> {
    const { deliveryLimit, isLimitKnown, type } = await this.#queue.declare(model)
    this.#isMissing = false
    if (this.#hasWarned || !isLimitKnown || type !== 'quorum' || deliveryLimit >= MAX_DELIVERY_LIMIT) return
    this.#hasWarned = true
    this.#log.warn({ queue: this.#name, deliveryLimit }, 'dead-letter queue has a delivery limit: set a policy with "delivery-limit": 2147483647')
  }

  /** Declares the queue again if it was missing: once for all dead letters that wait for it. */
  async declareIfMissing (model: ChannelModel): Promise<void> {
    if (!this.#isMissing) return
    this.#declaring ??= this.declare(model).finally(() => { this.#declaring = undefined })
    await this.#declaring
  }
}
