// The option `queue`: the queues to consume, and what they are bound to.
import { Type, type Static } from '@sinclair/typebox'
import { Value, ValueErrorType } from '@sinclair/typebox/value'
import { errors } from '../errors.js'
import { QueueName } from './types.js'

/** AMQP 0-9-1 §4.2.5.3: a short string has at most 255 bytes. */
const MAX_BYTES = 255

const Arguments = Type.Record(Type.String({ minLength: 1, maxLength: 128 }), Type.Union([Type.String(), Type.Number(), Type.Boolean()]), {
  maxProperties: 50,
  allowed: 'an object of up to 50 strings, numbers and booleans'
})

/** A binding of a queue. */
const BindingSchema = Type.Object({
  /** It must exist. */
  exchange: Type.String({ minLength: 1, maxLength: MAX_BYTES, allowed: 'the name of an exchange, and not the default one' }),
  /** With wildcards for a topic exchange. Exchanges of the types fanout and headers ignore it. */
  routingKey: Type.Optional(Type.String({ maxLength: MAX_BYTES, allowed: 'a string of at most 255 bytes' })),
  /** For a headers exchange. */
  arguments: Type.Optional(Arguments)
}, { additionalProperties: false, allowed: 'an object with exchange, routingKey and arguments' })
export type Binding = Static<typeof BindingSchema>

/** A queue that the plugin binds to exchanges, or creates with arguments of the application. */
const BoundQueueSchema = Type.Object({
  name: QueueName,
  /** They are set at each set-up. Bindings that are left out later are not removed. */
  bindings: Type.Optional(Type.Array(BindingSchema, { maxItems: 1_000, allowed: 'an array of up to 1000 bindings' })),
  /** The queue is created with them. A queue that exists must have them. */
  arguments: Type.Optional(Arguments)
}, { additionalProperties: false, allowed: 'an object with name, bindings and arguments' })
export type BoundQueue = Static<typeof BoundQueueSchema>

/** A queue to consume: its name alone, or with its bindings and arguments. */
export type QueueOption = string | BoundQueue

/** A queue to consume, with everything filled in. */
export type ConsumedQueue = Required<BoundQueue>

/** The queues of the option, one or several. */
export function toConsumedQueues (queue: QueueOption | readonly QueueOption[]): ConsumedQueue[] {
  return [queue].flat().map(each => ({ bindings: [], arguments: {}, ...(typeof each === 'string' ? { name: each } : each as BoundQueue) }))
}

/**
 * Checks the option `queue`.
 * @param show describes a wrong value
 * @throws FST_NOTIFICATION_INVALID_OPTION
 */
export function assertQueues (queue: unknown, show: (value: unknown) => string): asserts queue is QueueOption | QueueOption[] {
  const all = Array.isArray(queue) ? queue : [queue]
  const names = new Set<unknown>()
  for (const [n, each] of all.entries()) {
    if (typeof each === 'object' && each !== null) assertBoundQueue(each, Array.isArray(queue) ? `queue.${n}` : 'queue', show)
    names.add(typeof each === 'object' ? (each as BoundQueue | null)?.name : each)
  }
  const areNames = [...names].every(name => Value.Check(QueueName, name))
  if (areNames && names.size === all.length && all.length > 0 && all.length <= 100) return
  throw new errors.InvalidOption('queue', 'a queue name of 1 to 255 bytes, or an array of 1 to 100 different ones; each may be an object with name, bindings and arguments', show(queue))
}

function assertBoundQueue (value: object, option: string, show: (value: unknown) => string): void {
  const wrong = Value.Errors(BoundQueueSchema, value).First()
  if (wrong !== undefined) {
    const isUnknown = wrong.type === ValueErrorType.ObjectAdditionalProperties
    const allowed = isUnknown ? 'left out: there is no such member' : wrong.schema.allowed ?? 'a string, a number or a boolean'
    throw new errors.InvalidOption(option + wrong.path.replaceAll('/', '.'), allowed, isUnknown ? `a ${typeof wrong.value}` : show(wrong.value))
  }
  const { bindings = [], arguments: given = {} } = value as BoundQueue
  for (const [n, { exchange, routingKey = '' }] of bindings.entries()) {
    for (const [name, text] of Object.entries({ exchange, routingKey })) {
      const { length } = Buffer.from(text)
      if (length > MAX_BYTES) throw new errors.InvalidOption(`${option}.bindings.${n}.${name}`, 'at most 255 bytes', `${length} bytes`)
    }
  }
  if (given['x-queue-type'] === 'stream') {
    throw new errors.InvalidOption(`${option}.arguments.x-queue-type`, "'quorum' or 'classic': a consumer of a stream gets only what comes later", "'stream'")
  }
}
