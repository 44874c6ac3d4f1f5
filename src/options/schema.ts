import { Type, type Static } from '@sinclair/typebox'
import type { RegisterOptions } from 'fastify'
import { brokerOptions } from './broker-options.js'
import { deliveryOptions } from './delivery-options.js'
import { HeartbeatOptions, LimitsOptions, ReconnectOptions } from './groups.js'
import { QueueName } from './types.js'
import type { AllowedOrigins, Authenticate, MetricsRegistry } from './values.js'

/** Every option with its type, its default and its range. An error message lists the options in this order. */
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

  ...deliveryOptions,

  ...brokerOptions,

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
