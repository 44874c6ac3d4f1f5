import type { ChannelModel, Options as AmqpOptions } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import { deliveryLimitOf } from './broker-version.js'
import { errors } from '../errors.js'
import { argumentOf, isSingleActive, limitArgument, readQueue, risksOf, typeOf, type QueueFacts } from './queue-facts.js'
import { ensureQueue } from './topology.js'

export interface DeclaredQueueParts {
  queue: string
  /** How to create the queue if it does not exist. */
  declaration: AmqpOptions.AssertQueue
  /** Arguments that the queue must have, by the option `queue`. */
  required?: Readonly<Record<string, unknown>>
  /** The option `deliveryLimit`. */
  deliveryLimit: number | undefined
  log: FastifyBaseLogger
}

/** The result of a declaration. */
export interface Declared {
  /** How many consumers the queue has. A quorum queue with a single active consumer counts only that one. */
  readonly consumerCount: number
  readonly type: QueueFacts['type']
  /** Whether the broker delivers to one consumer at a time; undefined if unknown. */
  readonly isSingleActive: boolean | undefined
  /** How often a message may be returned before the broker drops it; Infinity if there is no limit. */
  readonly deliveryLimit: number
  /** Whether the limit comes from the queue or from the option; else it is assumed. */
  readonly isLimitKnown: boolean
  /** How the queue may lose messages before they are consumed. Empty if an earlier declaration has reported it. */
  readonly risks: readonly string[]
}

/** Declares one queue at each set-up of a channel, and remembers how the queue was declared. */
export class DeclaredQueue {
  /** The known facts; undefined while there are none. */
  private facts: QueueFacts | undefined
  private hasExisted = false

  constructor (private readonly parts: DeclaredQueueParts) {}

  /**
   * Makes sure that the queue exists, and reads its facts.
   * @throws FST_NOTIFICATION_UNUSABLE_QUEUE, or the broker's error
   */
  async declare (model: ChannelModel): Promise<Declared> {
    const { queue, declaration, log } = this.parts
    const { consumerCount, isCreated } = await ensureQueue(model, queue, declaration)
    if (isCreated && this.hasExisted) log.warn({ queue }, 'queue created anew: its bindings and arguments are gone')
    this.hasExisted = true
    if (isCreated) this.facts = { type: typeOf(declaration), declaration }
    const before = this.facts
    const facts = this.facts = await this.read(model)
    this.assertRequired(facts)
    return {
      consumerCount,
      type: facts.type,
      isSingleActive: isSingleActive(facts),
      deliveryLimit: this.limit(model, facts),
      isLimitKnown: facts.declaration !== undefined || this.parts.deliveryLimit !== undefined,
      risks: facts.declaration === before?.declaration ? [] : risksOf(facts)
    }
  }

  /** Forgets the facts, because the queue may have been deleted and created again. */
  forget (): void {
    this.facts = undefined
  }

  /**
   * Compares the queue with the arguments of the option, as far as the broker tells them.
   * @throws FST_NOTIFICATION_UNUSABLE_QUEUE
   */
  private assertRequired (facts: QueueFacts): void {
    const { queue, required = {} } = this.parts
    const clash = Object.entries(required).map(([name, value]) => [name, value, argumentOf(facts, name)]).find(([, value, current]) => value !== current)
    if (clash === undefined || facts.declaration === undefined) return
    const [name, value, current] = clash
    throw new errors.UnusableQueue(queue, `it exists with ${name} ${current ?? 'left out'}, and the option queue says ${value}: change the option, or delete the queue`)
  }

  /** Declares the queue as before, if that is known: the broker refuses nothing then, and logs no error. */
  private async read (model: ChannelModel): Promise<QueueFacts> {
    const { facts, parts: { queue, declaration } } = this
    const mayNotCompare = facts !== undefined && facts.declaration === undefined && facts.type !== 'stream'
    return mayNotCompare ? facts : await readQueue(model, queue, facts?.declaration ?? declaration)
  }

  /** The broker applies the lower one of the argument and the policy. Only quorum queues count returns. */
  private limit (model: ChannelModel, facts: QueueFacts): number {
    if (facts.type === 'classic') return Infinity
    const argument = limitArgument(facts)
    const { deliveryLimit: told } = this.parts
    if (told === undefined) return deliveryLimitOf(model, argument)
    return argument === undefined ? told : Math.min(told, deliveryLimitOf(model, argument))
  }
}
