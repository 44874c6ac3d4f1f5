import type { TSchema } from '@sinclair/typebox'
import { Value, ValueErrorType, type ValueError } from '@sinclair/typebox/value'
import { errors } from '../errors.js'
import { assertAmqp } from './amqp.js'
import { OptionsSchema, type NotificationPluginOptions, type Options } from './schema.js'
import { normalizeOrigin } from './normalize-origin.js'
import { assertQueues, toConsumedQueues } from './queues.js'
import { redactUrl } from './redact-url.js'
import { assertBrokerUrls, assertServerUrl } from './server-url.js'
import { isRegistry, type RedisClient } from './values.js'

/**
 * Checks the options and fills in the defaults. The given object is not changed.
 * @param input the options that were given to `register`
 * @returns new options, frozen
 * @throws FST_NOTIFICATION_INVALID_OPTION
 */
export function parseOptions (input: NotificationPluginOptions): Options {
  const options: unknown = Value.Default(OptionsSchema, copy(input))
  const wrong = Value.Errors(OptionsSchema, options).First()
  if (wrong !== undefined) {
    const name = wrong.path.slice(1).replaceAll('/', '.')
    throw new errors.InvalidOption(name, allowed(wrong), shown(wrong, name))
  }
  assertConsistent(options as Options)
  return Object.freeze(withPrefix(withDeadLetterQueue(options as Options)))
}

/**
 * Copies the options and their groups, so that defaults are never written into the caller's objects. Every other value
 * is used as it is: a client of Redis, a registry, an array. `undefined` is treated as absent.
 */
function copy (input: object, schema: TSchema = OptionsSchema): Record<string, unknown> {
  const properties: Record<string, TSchema | undefined> = schema.properties
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined).map(([name, value]) => {
    const group = properties[name]
    return [name, group?.properties !== undefined && isObject(value) ? copy(value, group) : value]
  }))
}

function isObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Checks the combinations of options, which the schema of one option can't express. */
function assertConsistent (options: Options): void {
  const { amqpUrl, deadLetterQueue, offline, hold, cluster, reconnect, heartbeat, authenticate, allowedOrigins, allowedHosts, metrics } = options
  if (amqpUrl !== undefined) assertBrokerUrls(amqpUrl)
  assertAmqp(options.amqp, amqpUrl)
  if (options.queue !== undefined) assertQueues(options.queue, show)
  const queues = queueNames(options)
  const [queue] = queues
  const names = [...queues.map(value => ['queue', value] as const), ...(deadLetterQueue === undefined ? [] : [['deadLetterQueue', deadLetterQueue] as const])]
  for (const [name, value] of names) {
    if (Buffer.byteLength(value) > 255) throw new errors.InvalidOption(name, 'a queue name of 1 to 255 bytes', `${Buffer.byteLength(value)} bytes`)
    if (amqpUrl === undefined) throw new errors.InvalidOption(name, 'left out where there is no amqpUrl', show(value))
  }
  if (amqpUrl !== undefined && queue === undefined) throw new errors.InvalidOption('queue', 'given together with amqpUrl', 'undefined')
  if (deadLetterQueue !== undefined && queues.includes(deadLetterQueue)) {
    throw new errors.InvalidOption('deadLetterQueue', 'another queue than queue, or dead letters would go round for ever', show(deadLetterQueue))
  }
  if (queue !== undefined && deadLetterQueue === undefined && Buffer.byteLength(queue) > 250) {
    throw new errors.InvalidOption('deadLetterQueue', "given where queue has over 250 bytes: '<queue>.dead' would be too long", 'undefined')
  }
  if (deadLetterQueue === undefined && queues.includes(`${queue}.dead`)) {
    throw new errors.InvalidOption('deadLetterQueue', "given where '<queue>.dead' is a queue to consume", 'undefined')
  }
  if (cluster && amqpUrl === undefined) throw new errors.InvalidOption('cluster', 'false where there is no amqpUrl', 'true')
  if (cluster && options.amqp.credentials === 'external' && options.relay.user === undefined) {
    throw new errors.InvalidOption('relay.user', "given with cluster: true and amqp.credentials: 'external', as the client certificate does not tell the RabbitMQ user", 'undefined')
  }
  if (cluster && offline === 'hold' && hold.redis === undefined) {
    throw new errors.InvalidOption('hold.redis', "given with cluster: true and offline: 'hold', as what is in the memory of one instance is not found by the others", 'undefined')
  }
  if (offline === 'dead-letter' && amqpUrl === undefined) {
    throw new errors.InvalidOption('offline', "'drop' or 'hold' where there is no amqpUrl", show(offline))
  }
  if (reconnect.maxDelay < reconnect.initialDelay) {
    throw new errors.InvalidOption('reconnect.maxDelay', 'at least reconnect.initialDelay', show(reconnect.maxDelay))
  }
  if (heartbeat.timeout >= heartbeat.interval) {
    throw new errors.InvalidOption('heartbeat.timeout', 'less than heartbeat.interval', show(heartbeat.timeout))
  }
  if (hold.redis !== undefined) {
    assertRedis(hold.redis)
    if (offline !== 'hold') throw new errors.InvalidOption('hold.redis', "left out where offline isn't 'hold', as nothing is held then", show(hold.redis))
  }
  if (authenticate !== undefined && authenticate !== false && typeof authenticate !== 'function') {
    throw new errors.InvalidOption('authenticate', 'a function of the request, or false', show(authenticate))
  }
  if (allowedOrigins !== undefined) assertOrigins(allowedOrigins)
  if (allowedOrigins !== undefined && allowedHosts !== undefined) {
    throw new errors.InvalidOption('allowedHosts', 'left out where allowedOrigins is given, which decides alone', 'an array')
  }
  if (metrics !== undefined && !isRegistry(metrics)) throw new errors.InvalidOption('metrics', 'a Registry of prom-client', show(metrics))
}

function assertRedis (redis: unknown): void {
  if (typeof redis === 'object' && typeof (redis as RedisClient | null)?.defineCommand === 'function') return
  const allowed = 'a redis:// or rediss:// URL, or a client of ioredis'
  if (typeof redis !== 'string') throw new errors.InvalidOption('hold.redis', allowed, show(redis))
  assertServerUrl('hold.redis', redis, ['redis:', 'rediss:'], allowed)
}

function assertOrigins (allowed: unknown): void {
  if (allowed === '*' || typeof allowed === 'function') return
  if (!Array.isArray(allowed)) throw new errors.InvalidOption('allowedOrigins', "'*', an array of strings and regular expressions, or a function", show(allowed))
  for (const [n, origin] of allowed.entries()) {
    if (origin instanceof RegExp || (typeof origin === 'string' && normalizeOrigin(origin) !== undefined)) continue
    throw new errors.InvalidOption(`allowedOrigins.${n}`, "an origin as in 'https://example.com', without a slash at its end; 'null' or 'file://'; or a regular expression", show(origin))
  }
}

function withDeadLetterQueue (options: Options): Options {
  return options.queue === undefined ? options : { deadLetterQueue: `${queueNames(options)[0]}.dead`, ...options }
}

function queueNames ({ queue }: Options): string[] {
  return queue === undefined ? [] : toConsumedQueues(queue).map(({ name }) => name)
}

/** Puts the prefix before `path`, which is the whole path from here on. */
function withPrefix ({ prefix = '', ...options }: Options): Options {
  return { ...options, path: prefix.replace(/\/$/, '') + options.path }
}

function allowed ({ type, schema }: ValueError): string {
  if (type === ValueErrorType.ObjectAdditionalProperties) {
    return `left out: there is no such option. Options are ${Object.keys(schema.properties).join(', ')}`
  }
  return schema.allowed ?? 'an object'
}

/** Describes a wrong value. The value of an option that doesn't exist is never shown, because it may be a password. */
function shown ({ type, value }: ValueError, name: string): string {
  if (type === ValueErrorType.ObjectAdditionalProperties) return `a ${typeof value}`
  return name.startsWith('amqp.') && typeof value === 'string' ? 'a string' : show(value)
}

/** Describes a value, short enough for a log line. A text that might be a URL with a password is redacted. */
function show (value: unknown): string {
  if (typeof value === 'string' && (value.includes('://') || value.includes('@'))) return redactUrl(value)
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  const text = typeof value === 'string' ? `'${value}'` : String(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
