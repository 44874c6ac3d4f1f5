import { Type, type Static } from '@sinclair/typebox'
import type { RegisterOptions } from 'fastify'
import { HeartbeatOptions, HoldOptions, LimitsOptions, ReconnectOptions, RelayOptions } from './groups.js'
import { MAX_DELIVERY_LIMIT, milliseconds, QueueName } from './types.js'
import type { AllowedOrigins, Authenticate, MetricsRegistry } from './values.js'

/** Every option: its type, its default, its range. The one place that says so. */
export const OptionsSchema = Type.Object({
  /**
   * Where RabbitMQ is: `amqp://` or `amqps://`, with special characters of the password percent-encoded. Query
   * parameters are `heartbeat` (seconds, 10 where it isn't given), `frameMax` (bytes) and `channelMax`.
   * Left out, there is no broker, and `notifier.notify()` works alone.
   */
  amqpUrl: Type.Optional(Type.String({ allowed: 'an amqp:// or amqps:// URL' })),

  /**
   * The queue to consume, or several: each used as it is where it exists, created as a durable quorum queue without a
   * delivery limit where not. A stream is refused.
   */
  queue: Type.Optional(Type.Union([QueueName, Type.Array(QueueName, { minItems: 1, maxItems: 100, uniqueItems: true })], {
    allowed: 'a queue name of 1 to 255 bytes, or an array of 1 to 100 different ones'
  })),

  /**
   * Where messages go that can't be used, with the reason in a header.
   * @default `<queue>.dead`, of the first queue
   */
  deadLetterQueue: Type.Optional(QueueName),

  /**
   * The path of the WebSocket route.
   * @default '/notification'
   */
  // A query would never match; an optional parameter ends with `?`.
  path: Type.String({ pattern: '^(?=/)[^?#]*(/:[^/?#]+\\?)?$', default: '/notification', allowed: "a path that begins with '/', without a query" }),

  /**
   * What the path of the WebSocket route begins with, as in `register` of any plugin. Fastify doesn't add it by itself, as
   * the plugin is for the whole scope.
   */
  prefix: Type.Optional(Type.String({ pattern: '^(/[^?#]*[^?#/])?/?$', allowed: "a path that begins with '/', without a query" })),

  /** The log level of the WebSocket route's requests, as in `register` of any plugin. */
  logLevel: Type.Optional(Type.Unsafe<RegisterOptions['logLevel']>(Type.String({ allowed: "a level of the logger, as in 'warn'" }))),

  /**
   * Serializers for the WebSocket route's requests, as in `register` of any plugin. Without one for `req`, requests are
   * logged without their query, which may hold a token.
   */
  logSerializers: Type.Optional(Type.Unsafe<RegisterOptions['logSerializers']>(Type.Object({}, { allowed: 'an object of functions' }))),

  /**
   * What happens to a notification for a user with no connection: `'drop'` counts it, `'dead-letter'` puts it
   * in the dead-letter queue, `'hold'` keeps it until the user connects.
   * @default 'drop'
   */
  offline: Type.Union([Type.Literal('drop'), Type.Literal('dead-letter'), Type.Literal('hold')], {
    default: 'drop',
    allowed: "'drop', 'dead-letter' or 'hold'"
  }),

  /** With `offline: 'hold'`: where notifications are kept, and how many. The oldest go first where there are more. */
  hold: HoldOptions,

  /**
   * When a notification is settled: `'sent'`, when it was handed to a socket; `'acknowledged'`, when a client that
   * speaks `notification.v1` has said that it has it. A client that doesn't speak it has it when it was sent.
   * @default 'sent'
   */
  settle: Type.Union([Type.Literal('sent'), Type.Literal('acknowledged')], {
    default: 'sent',
    allowed: "'sent' or 'acknowledged'"
  }),

  /**
   * With `settle: 'acknowledged'`: how long a client may take to acknowledge a notification, in milliseconds; then its
   * connection is closed with 4002, and the notification goes to another one, or follows `offline`.
   * @default 30000
   */
  ackTimeout: milliseconds(100, 600_000, 30_000), // well below the 30 minutes after which RabbitMQ closes the channel

  /**
   * With `settle: 'acknowledged'`: how many notifications a connection may have unacknowledged; more of them wait.
   * @default 100
   */
  maxUnacked: Type.Integer({ minimum: 1, maximum: 10_000, default: 100, allowed: 'a whole number from 1 to 10000' }),

  /**
   * Whether the other connections of a user are told what one of them has acknowledged.
   * @default false
   */
  dismiss: Type.Boolean({ default: false, allowed: 'true or false' }),

  /**
   * Whether several instances share the queue: then each delivers what another one has taken for its users.
   * @default false
   */
  cluster: Type.Boolean({ default: false, allowed: 'true or false' }),

  /** With `cluster: true`: how the instances reach each other. */
  relay: RelayOptions,

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
   * How often a message of the queues may be returned before the broker drops it, where a policy of the broker says so:
   * no client can read policies. What comes close is moved to the dead-letter queue.
   * @default what the queue was declared with; else 20 on RabbitMQ 4 and later, no limit before
   */
  deliveryLimit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_DELIVERY_LIMIT, allowed: `a whole number from 1 to ${MAX_DELIVERY_LIMIT}` })),

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
   * How long the broker may take to confirm a publish, in milliseconds. Where it has confirmed none for so long, the
   * publisher connects anew.
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

  /**
   * A `Registry` of `prom-client`, which then has the plugin's metrics until the application is closed.
   * @default none: nothing is measured
   */
  metrics: Type.Optional(Type.Unsafe<MetricsRegistry>(Type.Unknown())),

  /** When a connection is asked whether it is still there. */
  heartbeat: HeartbeatOptions,

  /**
   * How long to wait between tries to reconnect to the broker: doubled each time, with a fifth of jitter, until the
   * connection has proved useful: a publish was confirmed, an ack was taken, or it has stayed open for `maxDelay`.
   */
  reconnect: ReconnectOptions,

  /** What is too much. */
  limits: LimitsOptions,

  /**
   * How many of the last outcomes, connections and disconnections are remembered for `notifier.trace()`: with 0 none are.
   * @default 0
   */
  journal: Type.Integer({ minimum: 0, maximum: 1_000_000, default: 0, allowed: 'a whole number from 0 to 1000000' }),

  /**
   * Whether each message has a span of OpenTelemetry, from its arrival until its outcome is known.
   * @default false
   */
  tracing: Type.Boolean({ default: false, allowed: 'true or false' })
}, { additionalProperties: false })

/** The options with their defaults filled in. */
export type Options = Readonly<Static<typeof OptionsSchema>>

type Groups = 'hold' | 'relay' | 'reconnect' | 'heartbeat' | 'limits'

type Input<T> = { [K in keyof T]?: (K extends Groups ? Input<T[K]> : T[K]) | undefined }

/** What `register` takes, beside what it takes for any plugin. */
export type NotificationPluginOptions = Input<Omit<Static<typeof OptionsSchema>, keyof RegisterOptions>>

/** The options of an application with a broker. */
export type BrokerOptions = Options & Required<Pick<Options, 'amqpUrl' | 'queue' | 'deadLetterQueue'>>

/** The queues to consume, one or several. */
export function queuesOf ({ queue }: BrokerOptions): [string, ...string[]] {
  return [queue].flat() as [string, ...string[]]
}

/** Whether the options name a broker; `parseOptions` has seen to the rest. */
export function hasBroker (options: Options): options is BrokerOptions {
  return options.amqpUrl !== undefined
}
