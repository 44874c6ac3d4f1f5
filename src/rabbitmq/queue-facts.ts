import type { ChannelModel, Options as AmqpOptions } from 'amqplib'
import { isRabbitMQ } from './broker-version.js'
import { onOwnChannel } from './topology.js'

export type QueueType = 'quorum' | 'classic' | 'stream'

/** The known facts about a queue. A member is undefined if it is unknown. */
export interface QueueFacts {
  readonly type?: QueueType | undefined
  /** Everything that the queue was declared with. */
  readonly declaration?: AmqpOptions.AssertQueue | undefined
}

/** More than the number of arguments that a queue can have. */
const MAX_TRIES = 20

/** AMQP 0-9-1 §1.2: the reply code for a declaration that differs from the queue. */
const PRECONDITION_FAILED = 406

/**
 * Finds out what a queue was declared with. AMQP can't read a declaration, only compare it: the broker refuses a different
 * declaration and names one difference. This function adopts the difference and tries again until nothing differs.
 * Each refused try is an error line in the broker's log: call this once for a queue, not at each connection.
 * @param expected the probable declaration. If it is right, the broker refuses nothing
 * @throws if the connection ends meanwhile
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

/** Finds out only the type, without the permission to configure: the broker names the type when it refuses an argument. */
async function askType (model: ChannelModel, queue: string): Promise<QueueType | undefined> {
  if (!isRabbitMQ(model)) return undefined
  const refused = await refusalOf(onOwnChannel(model, async channel => {
    await channel.prefetch(1) // without a prefetch, a stream refuses too
    await channel.consume(queue, () => {}, { arguments: { 'x-stream-offset': 'next' } })
  }))
  if (refused === undefined) return 'stream'
  return refused.code === PRECONDITION_FAILED ? /of queue type rabbit_(quorum|classic)_queue/.exec(refused.message)?.[1] as QueueType : undefined
}

/** The error with which the broker has closed the channel; undefined if the call has succeeded. */
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
  /** The value of the queue; undefined if the queue has none. */
  readonly current: string | undefined
  /** The AMQP type of that value; undefined if both values have the same type. */
  readonly type: string | undefined
}

/** Reads the broker's error text, which is the same from 3.8 to 4.3. Returns undefined if the text is different or cut off. */
function parseDifference (message: string): Difference | undefined {
  const found = /inequivalent arg '([^']+)' for queue '.* but current is (?:none|the value '(.*)' of type '(\w+)'|'(.*)')"$/s.exec(message)
  return found === null ? undefined : { name: found[1]!, current: found[2] ?? found[4], type: found[3] }
}

function adopt (guess: AmqpOptions.AssertQueue, { name, current, type }: Difference): AmqpOptions.AssertQueue {
  if (name === 'durable') return { ...guess, durable: current === 'true' }
  if (name === 'auto_delete') return { ...guess, autoDelete: current === 'true' }
  const { [name]: before, ...others } = guess.arguments as Record<string, unknown>
  // Without an exchange, the other arguments about dead-lettering are not there either.
  if (name === 'x-dead-letter-exchange' && current === undefined) {
    for (const other of ['x-dead-letter-routing-key', 'x-dead-letter-strategy', 'x-overflow']) delete others[other]
  }
  return { ...guess, arguments: current === undefined ? others : { ...others, [name]: parseValue(current, type ?? typeof before) } }
}

function parseValue (text: string, type: string): string | number | boolean {
  if (type === 'longstr' || type === 'string') return text
  return type === 'bool' || type === 'boolean' ? text === 'true' : Number(text)
}

/** A queue without a type is a classic queue. In 4.0 and later the broker names the type even then. */
export function typeOf ({ arguments: declared }: AmqpOptions.AssertQueue): QueueType {
  return ((declared as Record<string, unknown>)['x-queue-type'] ?? 'classic') as QueueType
}

/** `x-delivery-limit`. */
export function limitArgument (facts: QueueFacts): number | undefined {
  return argumentOf(facts, 'x-delivery-limit') as number | undefined
}

/** Whether the broker delivers to one consumer of the queue at a time; undefined if unknown. */
export function isSingleActive (facts: QueueFacts): boolean | undefined {
  return facts.declaration && argumentOf(facts, 'x-single-active-consumer') === true
}

/** Lists how a queue may lose messages before they are consumed, according to its declaration. */
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

/** An argument of a queue. The type is known even if the queue was declared without it. */
export function argumentOf ({ type, declaration }: QueueFacts, name: string): unknown {
  if (name === 'x-queue-type') return type
  return (declaration?.arguments as Record<string, unknown> | undefined)?.[name]
}
