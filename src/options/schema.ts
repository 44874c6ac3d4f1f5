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
   * The URL of RabbitMQ: `amqp://` or `amqps://`, with special characters of the password percent-encoded. Query
   * parameters are `heartbeat` (seconds, 10 if it isn't given), `frameMax` (bytes) and `channelMax`.
   * If left out, there is no broker, and `notifier.notify()` works alone.
   */
  amqpUrl: Type.Optional(Type.String({ allowed: 'an amqp:// or amqps:// URL' })),

  /**
   * The queue to consume, or several. A queue that exists is used as it is. A queue that doesn't exist is created as a
   * durable quorum queue without a delivery limit. A stream is refused.
   */
  queue: Type.Optional(Type.Union([QueueName, Type.Array(QueueName, { minItems: 1, maxItems: 100, uniqueItems: true })], {
    allowed: 'a queue name of 1 to 255 bytes, or an array of 1 to 100 different ones'
  })),

  /**
   * The queue for messages that can't be used, with the reason in a header.
   * @default `<queue>.dead`, of the first queue
   */
  deadLetterQueue: Type.Optional(QueueName),

  /**
   * The path of the WebSocket route.
   * @default '/notification'
   */
  // A query would never match, so a `?` is only allowed at the end of an optional parameter.
  path: Type.String({ pattern: '^(?=/)[^?#]*(/:[^/?#]+\\?)?$', default: '/notification', allowed: "a path that begins with '/', without a query" }),

  /**
   * The prefix of the WebSocket route's path, as in `register` of any plugin. Fastify doesn't add it itself, because
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
   * Returns the verified user of an upgrade request, or `{ userId, expiresAt }`. Throws to refuse the request. Runs
   * after the application's own hooks. If left out, the `userId` of the query is not checked, and any client can read
   * any user's notifications.
   */
  authenticate: Type.Optional(Type.Unsafe<Authenticate>(Type.Function([], Type.Unknown(), { allowed: 'a function of the request' }))),

  /**
   * The origins whose pages may connect: strings, which are compared exactly; regular expressions, which must match the
   * whole origin; a function; or `'*'` for any origin. A request without an Origin is not from a page, and passes.
   * @default those of the same host
   */
  allowedOrigins: Type.Optional(Type.Unsafe<AllowedOrigins>(Type.Unknown())),

  /**
   * A `Registry` of `prom-client`. The plugin's metrics are in it until the application is closed.
   * @default none: nothing is measured
   */
  metrics: Type.Optional(Type.Unsafe<MetricsRegistry>(Type.Unknown())),

  /** How often connections are pinged, and how long a pong may take. */
  heartbeat: HeartbeatOptions,

  /**
   * How long to wait between tries to reconnect to the broker. The wait is doubled each time, with a fifth of jitter,
   * until the connection has proved useful: a publish was confirmed, an ack was accepted, or the connection has stayed
   * open for `maxDelay`.
   */
  reconnect: ReconnectOptions,

  /** Limits on messages, connections, upgrades and frames. */
  limits: LimitsOptions,

  /**
   * How many of the last outcomes, connections and disconnections are remembered for `notifier.trace()`. With 0, none.
   * @default 0
   */
  journal: Type.Integer({ minimum: 0, maximum: 1_000_000, default: 0, allowed: 'a whole number from 0 to 1000000' }),

  /**
   * Whether each message has an OpenTelemetry span, from its arrival until its outcome is known.
   * @default false
   */
  tracing: Type.Boolean({ default: false, allowed: 'true or false' })
}, { additionalProperties: false })

/** The options with their defaults filled in. */
export type Options = Readonly<Static<typeof OptionsSchema>>

type Groups = 'hold' | 'relay' | 'reconnect' | 'heartbeat' | 'limits'

type Input<T> = { [K in keyof T]?: (K extends Groups ? Input<T[K]> : T[K]) | undefined }

/** The options that `register` accepts for this plugin, besides those of any plugin. */
export type NotificationPluginOptions = Input<Omit<Static<typeof OptionsSchema>, keyof RegisterOptions>>

/** The options of an application with a broker. */
export type BrokerOptions = Options & Required<Pick<Options, 'amqpUrl' | 'queue' | 'deadLetterQueue'>>

/** The queues to consume, one or several. */
export function queuesOf ({ queue }: BrokerOptions): [string, ...string[]] {
  return [queue].flat() as [string, ...string[]]
}

/** Whether the options name a broker. `parseOptions` ensures that `queue` and `deadLetterQueue` are set then. */
export function hasBroker (options: Options): options is BrokerOptions {
  return options.amqpUrl !== undefined
}
