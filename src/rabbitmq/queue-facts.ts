import type { ChannelModel, Options as AmqpOptions } from 'amqplib'
import { isRabbitMQ } from './broker-version.js'
import { onOwnChannel } from './topology.js'

export type QueueType = 'quorum' | 'classic' | 'stream'

/** What is known of a queue. A member is undefined where it is not known, or where the queue does not have it. */
export interface QueueFacts {
  readonly type?: QueueType | undefined
  /** All that the queue was declared with. */
  readonly declaration?: AmqpOptions.AssertQueue | undefined
}

/** More differences than a queue can have arguments. */
const MAX_TRIES = 20

/** AMQP 0-9-1 §1.2: the reply code for a declaration that differs from the queue. */
const PRECONDITION_FAILED = 406

/**
 * Finds out what a queue was declared with. AMQP cannot read that, only compare: the broker refuses a declaration that
 * differs, and names one difference. So the difference is adopted, and the declaration tried again until it is equal.
 * Each refused try is an error line in the broker's log: call this once for a queue, not at each connection.
 * @param expected what the queue was probably declared with: where that is right, nothing is refused
 * @throws where the connection ends meanwhile
 */
export async function readQueue (model: ChannelModel, queue: string, expected: AmqpOptions.AssertQueue): Promise<QueueFacts> {
  let guess = expected
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const refused = await refusalOf(onOwnChannel(model, channel => channel.assertQueue(queue, guess)))
    if (refused === undefined) return { type: typeOf(guess), declaration: guess }
    const difference = refused.code === PRECONDITION_FAILED ? parseDifference(refused.message) : undefined
    if (difference?.name === 'x-queue-type' && difference.current === 'stream') return { type: 'stream' }
    if (difference === undefined) break
    guess = adopt(guess, difference)
  }
  return { type: await askType(model, queue) }
}

/** The type alone, for which no permission to configure is needed: the broker names it where an argument does not fit. */
async function askType (model: ChannelModel, queue: string): Promise<QueueType | undefined> {
  if (!isRabbitMQ(model)) return undefined
  const refused = await refusalOf(onOwnChannel(model, async channel => {
    await channel.prefetch(1) // without it a stream refuses too
    await channel.consume(queue, () => {}, { arguments: { 'x-stream-offset': 'next' } })
  }))
  if (refused === undefined) return 'stream'
  return refused.code === PRECONDITION_FAILED ? /of queue type rabbit_(quorum|classic)_queue/.exec(refused.message)?.[1] as QueueType : undefined
}

/** Why the broker closed the channel; undefined where it did not. */
async function refusalOf (call: Promise<unknown>): Promise<{ code: number, message: string } | undefined> {
  try {
    await call
    return undefined
  } catch (error) {
    const { code, message } = error as { code?: unknown, message: string }
    if (typeof code !== 'number') throw error
    return { code, message }
  }
}

interface Difference {
  readonly name: string
  /** What the queue has; undefined where it has none. */
  readonly current: string | undefined
  /** The AMQP type of that; undefined where both have the same. */
  readonly type: string | undefined
}

/** Of the broker's own words, which are the same from 3.8 to 4.3; undefined where they are other ones, or cut off. */
function parseDifference (message: string): Difference | undefined {
  const found = /inequivalent arg '([^']+)' for queue '.* but current is (?:none|the value '(.*)' of type '(\w+)'|'(.*)')"$/s.exec(message)
  return found === null ? undefined : { name: found[1]!, current: found[2] ?? found[4], type: found[3] }
}

function adopt (guess: AmqpOptions.AssertQueue, { name, current, type }: Difference): AmqpOptions.AssertQueue {
  if (name === 'durable') return { ...guess, durable: current === 'true' }
  if (name === 'auto_delete') return { ...guess, autoDelete: current === 'true' }
  const { [name]: before, ...others } = guess.arguments as Record<string, unknown>
  // What says how to dead-letter comes with the exchange, and goes with it.
  if (name === 'x-dead-letter-exchange' && current === undefined) {
    for (const other of ['x-dead-letter-routing-key', 'x-dead-letter-strategy', 'x-overflow']) delete others[other]
  }
  return { ...guess, arguments: current === undefined ? others : { ...others, [name]: parseValue(current, type ?? typeof before) } }
}

function parseValue (text: string, type: string): string | number | boolean {
  if (type === 'longstr' || type === 'string') return text
  return type === 'bool' || type === 'boolean' ? text === 'true' : Number(text)
}

/** A queue without a type is a classic one: from 4.0 on the broker tells even that. */
function typeOf ({ arguments: declared }: AmqpOptions.AssertQueue): QueueType {
  return ((declared as Record<string, unknown>)['x-queue-type'] ?? 'classic') as QueueType
}

/** `x-delivery-limit`. */
export function limitArgument (facts: QueueFacts): number | undefined {
  return argumentOf(facts, 'x-delivery-limit') as number | undefined
}

/** Whether the broker delivers to one consumer of the queue at a time; undefined where that is not known. */
export function isSingleActive (facts: QueueFacts): boolean | undefined {
  return facts.declaration && argumentOf(facts, 'x-single-active-consumer') === true
}

/** How a queue may lose messages before they are consumed, by the way it was declared. */
export function risksOf (facts: QueueFacts): string[] {
  const { declaration } = facts
  if (declaration === undefined) return []
  const has = (name: string) => argumentOf(facts, name) !== undefined
  const drops = !String(argumentOf(facts, 'x-overflow')).startsWith('reject-publish')
  const risks: Array<[string, boolean]> = [
    ['not durable: gone with the broker', declaration.durable === false],
    ['auto-delete: gone with its last consumer', declaration.autoDelete === true],
    ['x-expires: gone when it is not used', has('x-expires')],
    ['a length limit that drops the oldest', drops && (has('x-max-length') || has('x-max-length-bytes'))],
    ['x-message-ttl without x-dead-letter-exchange', has('x-message-ttl') && !has('x-dead-letter-exchange')]
  ]
  return risks.filter(([, isSo]) => isSo).map(([risk]) => risk)
}

function argumentOf ({ declaration }: QueueFacts, name: string): unknown {
  return (declaration?.arguments as Record<string, unknown> | undefined)?.[name]
}
