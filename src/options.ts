import { Type, type Static } from '@sinclair/typebox'
import { Value, ValueErrorType, type ValueError } from '@sinclair/typebox/value'
import { errors } from './errors.js'
import type { Authenticate } from './identity.js'
import { normalizeOrigin, type AllowedOrigins } from './origin.js'

const KiB = 1024
const MiB = 1024 * KiB

/** A queue name is an AMQP short string: at most 255 bytes (AMQP 0-9-1 §4.2.5.3). */
const QueueName = Type.String({ minLength: 1, maxLength: 255, allowed: 'a queue name of 1 to 255 bytes' })

const milliseconds = (minimum: number, maximum: number, value: number) =>
  Type.Integer({ minimum, maximum, default: value, allowed: `a whole number of milliseconds from ${minimum} to ${maximum}` })

const bytes = (minimum: number, maximum: number, value: number) =>
  Type.Integer({ minimum, maximum, default: value, allowed: `a number of bytes from ${minimum} to ${maximum}` })

const count = (value: number) =>
  Type.Integer({ minimum: 1, maximum: 10_000_000, default: value, allowed: 'a whole number from 1 to 10000000' })

/** Every option: its type, its default, its range. The one place that says so. */
export const OptionsSchema = Type.Object({
  /**
   * Where RabbitMQ is: `amqp://` or `amqps://`. `?heartbeat=` (seconds) may be part of it; 10 where it isn't.
   * Left out, there is no broker, and `notifier.notify()` works alone.
   */
  amqpUrl: Type.Optional(Type.String({ allowed: 'an amqp:// or amqps:// URL' })),

  /** The queue to consume: used as it is where it exists, created as a durable quorum queue where not. */
  queue: Type.Optional(QueueName),

  /**
   * Where messages go that can't be used, with the reason in a header.
   * @default `<queue>.dead`
   */
  deadLetterQueue: Type.Optional(QueueName),

  /**
   * The path of the WebSocket route.
   * @default '/notification'
   */
  path: Type.String({ pattern: '^/', default: '/notification', allowed: "a path that begins with '/'" }),

  /**
   * What happens to a notification for a user with no connection: `'drop'` counts it, `'dead-letter'` puts it
   * in the dead-letter queue.
   * @default 'drop'
   */
  offline: Type.Union([Type.Literal('drop'), Type.Literal('dead-letter')], {
    default: 'drop',
    allowed: "'drop' or 'dead-letter'"
  }),

  /**
   * When the broker can't be reached at start: `'fail'` rejects `ready()` after a few tries, `'background'` starts the
   * application and goes on trying.
   * @default 'fail'
   */
  startup: Type.Union([Type.Literal('fail'), Type.Literal('background')], {
    default: 'fail',
    allowed: "'fail' or 'background'"
  }),

  /**
   * How many messages may be unsettled at a time. RabbitMQ allows a quorum queue at most 2,000.
   * @default 1000
   */
  prefetch: Type.Integer({
    minimum: 1,
    maximum: 65_535, // AMQP 0-9-1 §1.7.2.1: a short unsigned integer
    default: 1_000, // below this, waiting for the broker's next batch costs more than the work itself
    allowed: 'a whole number from 1 to 65535'
  }),

  /**
   * How long connecting to the broker may take, in milliseconds.
   * @default 5000
   */
  connectTimeout: milliseconds(10, 60_000, 5_000),

  /**
   * How long the broker may take to confirm a publish, in milliseconds.
   * @default 10000
   */
  publishTimeout: milliseconds(10, 600_000, 10_000),

  /**
   * How long `app.close()` may take to settle what is in flight and to close the connections, in milliseconds.
   * @default 10000
   */
  drainTimeout: milliseconds(0, 600_000, 10_000),

  /**
   * Returns the verified user of an upgrade request, or `{ userId, expiresAt }`; throws to refuse it. Runs after the
   * application's own hooks. Left out, the `userId` of the query is taken as it stands, and any client can read any
   * user's notifications.
   */
  authenticate: Type.Optional(Type.Unsafe<Authenticate>(Type.Function([], Type.Unknown(), { allowed: 'a function of the request' }))),

  /**
   * The origins whose pages may connect: strings that are compared exactly, regular expressions that match the whole
   * origin, a function, or `'*'` for any. A request without an Origin is not from a browser's page, and passes.
   * @default those of the same host
   */
  allowedOrigins: Type.Optional(Type.Unsafe<AllowedOrigins>(Type.Unknown())),

  /** When a connection is asked whether it is still there. */
  heartbeat: Type.Object({
    /**
     * How often a connection is pinged, in milliseconds.
     * @default 25000
     */
    interval: milliseconds(100, 600_000, 25_000), // below the 60 s after which common proxies cut idle connections
    /**
     * How long its pong may take, in milliseconds; less than `interval`.
     * @default 10000
     */
    timeout: milliseconds(50, 600_000, 10_000)
  }, { default: {}, additionalProperties: false, allowed: 'an object with interval and timeout' }),

  /** How long to wait between tries to reconnect to the broker: doubled each time, with a fifth of jitter. */
  reconnect: Type.Object({
    /**
     * The first wait, in milliseconds.
     * @default 100
     */
    initialDelay: milliseconds(1, 60_000, 100),
    /**
     * The longest wait, in milliseconds.
     * @default 10000
     */
    maxDelay: milliseconds(1, 600_000, 10_000)
  }, { default: {}, additionalProperties: false, allowed: 'an object with initialDelay and maxDelay' }),

  /** What is too much. */
  limits: Type.Object({
    /**
     * The largest message accepted from the queue, in bytes; a larger one is dead-lettered.
     * @default 1048576
     */
    messageBytes: bytes(1, 128 * MiB, MiB),
    /**
     * Connections in all; one more is refused with 503.
     * @default 50000
     */
    connections: count(50_000),
    /**
     * Connections of one user; one more is refused with 429.
     * @default 50
     */
    connectionsPerUser: count(50),
    /**
     * Upgrades that wait in `authenticate`; one more is refused with 503.
     * @default 1000
     */
    pendingUpgrades: count(1_000),
    /**
     * How long an upgrade may take from its request to its acceptance, in milliseconds; then it is refused with 503.
     * @default 10000
     */
    upgradeTimeout: milliseconds(10, 600_000, 10_000),
    /**
     * The largest frame accepted from a client, in bytes; at a larger one the connection is closed with 1009.
     * @default 4096
     */
    frameBytes: bytes(125, 16 * MiB, 4 * KiB), // clients hardly send
    /**
     * Frames accepted from a client in a second, pings and pongs too; at more the connection is closed with 1008.
     * @default 50
     */
    framesPerSecond: count(50),
    /**
     * Bytes that may wait for a client to read them; above it the connection is closed with 4000.
     * @default 1048576
     */
    bufferedBytes: bytes(1, 1_024 * MiB, MiB)
  }, { default: {}, additionalProperties: false, allowed: 'an object of limits' })
}, { additionalProperties: false })

/** The options with their defaults filled in. */
export type Options = Readonly<Static<typeof OptionsSchema>>

type Groups = 'reconnect' | 'heartbeat' | 'limits'

type Input<T> = { [K in keyof T]?: (K extends Groups ? Input<T[K]> : T[K]) | undefined }

/** What `register` takes. */
export type NotificationPluginOptions = Input<Static<typeof OptionsSchema>>

/** The options of an application with a broker. */
export type BrokerOptions = Options & Required<Pick<Options, 'amqpUrl' | 'queue' | 'deadLetterQueue'>>

/**
 * Checks the options and fills in the defaults; what was given is left as it was.
 * @param input what `register` was given
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
  return Object.freeze(withDeadLetterQueue(options as Options))
}

/** Groups of options are copied one level down, so that defaults are never written into the caller's. `undefined` is as good as absent. */
function copy (input: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, isGroup(value) ? copy(value) : value]))
}

function isGroup (value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}

/** What the schema of one option can't say: how options go together. */
function assertConsistent (options: Options): void {
  const { amqpUrl, queue, deadLetterQueue, offline, reconnect, heartbeat, allowedOrigins } = options
  if (amqpUrl !== undefined) {
    const url = URL.canParse(amqpUrl) ? new URL(amqpUrl) : undefined
    if (url === undefined || !['amqp:', 'amqps:'].includes(url.protocol) || url.hostname === '' || !isDecodable(url)) {
      throw new errors.InvalidOption('amqpUrl', 'an amqp:// or amqps:// URL', redactUrl(amqpUrl))
    }
  }
  for (const name of ['queue', 'deadLetterQueue'] as const) {
    const value = options[name]
    if (value === undefined) continue
    if (Buffer.byteLength(value) > 255) throw new errors.InvalidOption(name, 'a queue name of 1 to 255 bytes', `${Buffer.byteLength(value)} bytes`)
    if (amqpUrl === undefined) throw new errors.InvalidOption(name, 'left out where there is no amqpUrl', show(value))
  }
  if (amqpUrl !== undefined && queue === undefined) throw new errors.InvalidOption('queue', 'given together with amqpUrl', 'undefined')
  if (deadLetterQueue !== undefined && deadLetterQueue === queue) {
    throw new errors.InvalidOption('deadLetterQueue', 'another queue than queue, or dead letters would go round for ever', show(deadLetterQueue))
  }
  if (queue !== undefined && deadLetterQueue === undefined && Buffer.byteLength(queue) > 250) {
    throw new errors.InvalidOption('deadLetterQueue', "given where queue has over 250 bytes: '<queue>.dead' would be too long", 'undefined')
  }
  if (offline === 'dead-letter' && amqpUrl === undefined) {
    throw new errors.InvalidOption('offline', "'drop' where there is no amqpUrl", show(offline))
  }
  if (reconnect.maxDelay < reconnect.initialDelay) {
    throw new errors.InvalidOption('reconnect.maxDelay', 'at least reconnect.initialDelay', show(reconnect.maxDelay))
  }
  if (heartbeat.timeout >= heartbeat.interval) {
    throw new errors.InvalidOption('heartbeat.timeout', 'less than heartbeat.interval', show(heartbeat.timeout))
  }
  if (allowedOrigins !== undefined) assertOrigins(allowedOrigins)
}

function assertOrigins (allowed: unknown): void {
  if (allowed === '*' || typeof allowed === 'function') return
  if (!Array.isArray(allowed)) throw new errors.InvalidOption('allowedOrigins', "'*', an array of strings and regular expressions, or a function", show(allowed))
  for (const [n, origin] of allowed.entries()) {
    if (origin instanceof RegExp || (typeof origin === 'string' && normalizeOrigin(origin) !== undefined)) continue
    throw new errors.InvalidOption(`allowedOrigins.${n}`, "an origin as in 'https://example.com', or a regular expression", show(origin))
  }
}

function isDecodable ({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username + password)
    return true
  } catch {
    return false
  }
}

function withDeadLetterQueue (options: Options): Options {
  return options.queue === undefined ? options : { deadLetterQueue: `${options.queue}.dead`, ...options }
}

/** Whether the options name a broker; {@link parseOptions} has seen to the rest. */
export function hasBroker (options: Options): options is BrokerOptions {
  return options.amqpUrl !== undefined
}

function allowed ({ type, schema }: ValueError): string {
  if (type === ValueErrorType.ObjectAdditionalProperties) {
    return `left out: there is no such option. Options are ${Object.keys(schema.properties).join(', ')}`
  }
  return schema.allowed ?? 'an object'
}

/** What was given. What an option that doesn't exist holds is nobody's to show: it may be a password. */
function shown ({ type, value }: ValueError, name: string): string {
  if (type === ValueErrorType.ObjectAdditionalProperties) return `a ${typeof value}`
  return name === 'amqpUrl' ? redactUrl(value) : show(value)
}

/** A wrong value, short enough for a log line, and no URL, which might hold a password. */
function show (value: unknown): string {
  if (typeof value === 'string' && value.includes('://')) return redactUrl(value)
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  const text = typeof value === 'string' ? `'${value}'` : String(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

/**
 * A broker's URL without its password, for messages and logs.
 * @param url anything; what is no URL is not quoted, as it may hold a password
 */
export function redactUrl (url: unknown): string {
  if (typeof url !== 'string') return url === null ? 'null' : typeof url
  const { protocol = '', username = '', host = '', pathname = '' } = URL.canParse(url) ? new URL(url) : {}
  if (host === '') return `a string of ${url.length} characters that is no URL of a host`
  return `${protocol}//${username === '' ? '' : `${username}:***@`}${host}${pathname}`
}
