import { Type, type Static } from '@sinclair/typebox'
import type { RegisterOptions } from 'fastify'
import { AmqpOptions } from './amqp.js'
import { brokerOptions } from './broker-options.js'
import type { Decode } from './decode.js'
import { deliveryOptions } from './delivery-options.js'
import { HeartbeatOptions, LimitsOptions, ReconnectOptions } from './groups.js'
import { toConsumedQueues, type ConsumedQueue, type QueueOption } from './queues.js'
import { QueueName } from './types.js'
import type { AllowedOrigins, Authenticate, MetricsRegistry } from './values.js'

/** Every option with its type, its default and its range. An error message lists the options in this order. */
export const OptionsSchema = Type.Object({
  /**
   * The URL of RabbitMQ: `amqp://` or `amqps://`, with special characters of the password percent-encoded. Query
   * parameters are `heartbeat` (seconds, 10 if it isn't given), `frameMax` (bytes) and `channelMax`.
   * Several URLs, of the nodes of a cluster, are tried in turn, from a random one on.
   * If left out, there is no broker, and `notifier.notify()` works alone.
   */
  amqpUrl: Type.Optional(Type.Unsafe<string | readonly string[]>(Type.Unknown())),

  /**
   * The queue to consume, or several: names, or objects with a name, bindings and arguments. A queue that exists is used as
   * it is. A queue that doesn't exist is created as a durable quorum queue without a delivery limit. A stream is refused.
   */
  queue: Type.Optional(Type.Unsafe<QueueOption | readonly QueueOption[]>(Type.Unknown())),

  /**
   * The queue for messages that can't be used, with the reason in a header.
   * @default `<queue>.dead`, of the first queue
   */
  deadLetterQueue: Type.Optional(QueueName),

  /** How the plugin connects to RabbitMQ: TLS, credentials, and the name of the connections. */
  amqp: AmqpOptions,

  /**
   * Decodes a message into `{ userId, content, id? }`, or names several users, a group or everybody; at once or later. If it returns undefined, the message is acked and
   * counted as `ignored`; if it throws, the message is dead-lettered as `undecodable`. If left out, messages are of the
   * plugin's own form.
   */
  decode: Type.Optional(Type.Unsafe<Decode>(Type.Function([], Type.Unknown(), { allowed: 'a function of the message' }))),

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
   * Returns the verified user of an upgrade request, or `{ userId, expiresAt, groups }`. Throws to refuse the request. Runs
   * after the application's own hooks. If left out, the `userId` of the query is not checked, and any client can read
   * any user's notifications. `false` says that this is meant: then nothing warns of it.
   */
  authenticate: Type.Optional(Type.Unsafe<Authenticate | false>(Type.Unknown())),

  /**
   * The origins whose pages may connect: strings, which are compared exactly; regular expressions, which must match the
   * whole origin; a function; or `'*'` for any origin. A request without an Origin is not from a page, and passes.
   * @default `http` and `https` pages of the same host
   */
  allowedOrigins: Type.Optional(Type.Unsafe<AllowedOrigins>(Type.Unknown())),

  /**
   * Without `allowedOrigins`: the hosts whose pages may connect, each with a port, or for all ports.
   * @default any; on a loopback address only `localhost` and IP addresses, because any page can have a host name that
   *   resolves to it
   */
  allowedHosts: Type.Optional(Type.Array(Type.String({
    pattern: '^([a-zA-Z0-9.-]+|\\[[0-9a-fA-F:.]+\\])(:\\d{1,5})?$',
    allowed: "a host as in 'example.com' or 'example.com:8443'"
  }), { allowed: 'an array of hosts' })),

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

type Groups = 'amqp' | 'hold' | 'relay' | 'reconnect' | 'heartbeat' | 'limits'

type Input<T> = { [K in keyof T]?: (K extends Groups ? Input<T[K]> : T[K]) | undefined }

/** The options that `register` accepts for this plugin, besides those of any plugin. */
export type NotificationPluginOptions = Input<Omit<Static<typeof OptionsSchema>, keyof RegisterOptions>>

/** The options of an application with a broker. */
export type BrokerOptions = Options & Required<Pick<Options, 'amqpUrl' | 'queue' | 'deadLetterQueue'>>

/** Whether anybody can read everything in production, and nobody has said that this is meant. */
export function isUnprotected ({ authenticate }: Options): boolean {
  return authenticate === undefined && process.env.NODE_ENV === 'production'
}

/** The URLs of the broker, one or several. */
export function brokerUrls ({ amqpUrl }: Pick<BrokerOptions, 'amqpUrl'>): readonly string[] {
  return [amqpUrl].flat()
}

/** The queues to consume, one or several. */
export function consumedQueues ({ queue }: BrokerOptions): ConsumedQueue[] {
  return toConsumedQueues(queue)
}

/** The names of the queues to consume, one or several. */
export function queuesOf (options: BrokerOptions): [string, ...string[]] {
  return consumedQueues(options).map(({ name }) => name) as [string, ...string[]]
}

/** Whether the options name a broker. `parseOptions` ensures that `queue` and `deadLetterQueue` are set then. */
export function hasBroker (options: Options): options is BrokerOptions {
  return options.amqpUrl !== undefined
}
