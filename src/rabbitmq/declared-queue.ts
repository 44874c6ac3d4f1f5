import type { ChannelModel, Options as AmqpOptions } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { deliveryLimitOf } from './broker-version.js'
import { isSingleActive, limitArgument, readQueue, risksOf, type QueueFacts } from './queue-facts.js'
import { ensureQueue } from './topology.js'

export interface DeclaredQueueParts {
  queue: string
  /** How to create it where it does not exist. */
  declaration: AmqpOptions.AssertQueue
  /** The delivery limit that the operator tells. */
  deliveryLimit: number | undefined
  log: FastifyBaseLogger
}

/** A queue as it is after a set-up. */
export interface Declared {
  /** How many consumers it has; of a quorum queue with a single active consumer, only that one is counted. */
  readonly consumerCount: number
  readonly type: QueueFacts['type']
  /** Whether the broker delivers to one of its consumers at a time; undefined where that is not known. */
  readonly isSingleActive: boolean | undefined
  /** How often a message may be returned before the broker drops it; Infinity where there is no limit. */
  readonly deliveryLimit: number
  /** Whether that was found out, or told; else it is assumed. */
  readonly isLimitKnown: boolean
  /** How it may lose messages before they are consumed, where that was found out at this set-up. */
  readonly risks: readonly string[]
}

/** Declares one queue at each set-up, and remembers what it is. */
export class DeclaredQueue {
  /** What was found out; undefined while nothing is. */
  private facts: QueueFacts | undefined
  private hasExisted = false

  constructor (private readonly parts: DeclaredQueueParts) {}

  /**
   * Makes sure that the queue exists, and finds out what it is.
   * @throws FST_NOTIFICATION_UNUSABLE_QUEUE, or the broker's error
   */
  async declare (model: ChannelModel): Promise<Declared> {
    const { queue, declaration, log } = this.parts
    const { consumerCount, isCreated } = await ensureQueue(model, queue, declaration)
    if (isCreated && this.hasExisted) log.warn({ queue }, 'queue created anew: its bindings and arguments are gone')
    this.hasExisted = true
    if (isCreated) this.facts = { type: 'quorum', declaration }
    const before = this.facts
    const facts = this.facts = await this.read(model)
    return {
      consumerCount,
      type: facts.type,
      isSingleActive: isSingleActive(facts),
      deliveryLimit: this.limit(model, facts),
      isLimitKnown: facts.declaration !== undefined || this.parts.deliveryLimit !== undefined,
      risks: facts.declaration === before?.declaration ? [] : risksOf(facts)
    }
  }

  /** The queue may be another one from now on. */
  forget (): void {
    this.facts = undefined
  }

  /** A queue that is declared as it was before is not found out again: nothing is refused then. */
  private async read (model: ChannelModel): Promise<QueueFacts> {
    const { facts, parts: { queue, declaration } } = this
    const mayNotCompare = facts !== undefined && facts.declaration === undefined && facts.type !== 'stream'
    return mayNotCompare ? facts : await readQueue(model, queue, facts?.declaration ?? declaration)
  }

  /** Of the argument and the policy the broker takes the lower one. Only a quorum queue counts. */
  private limit (model: ChannelModel, facts: QueueFacts): number {
    if (facts.type === 'classic') return Infinity
    const argument = limitArgument(facts)
    const { deliveryLimit: told } = this.parts
    if (told === undefined) return deliveryLimitOf(model, argument)
    return argument === undefined ? told : Math.min(told, deliveryLimitOf(model, argument))
  }
}
