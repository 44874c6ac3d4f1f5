// The options that are groups of options.
import { Type } from '@sinclair/typebox'
import { bytes, count, DAY, KiB, MiB, milliseconds } from './types.js'
import type { RedisClient } from './values.js'

/** Where notifications are kept, and how many. */
export const HoldOptions = Type.Object({
  /** A `redis://` or `rediss://` URL, or a client of `ioredis`. If left out, notifications are kept in memory. */
  redis: Type.Optional(Type.Unsafe<string | RedisClient>(Type.Unknown())),
  /**
   * The prefix of the keys in Redis.
   * @default 'notification:'
   */
  // No braces, because Redis Cluster uses braces in keys.
  keyPrefix: Type.String({ pattern: '^[^{}]{0,100}$', default: 'notification:', allowed: 'at most 100 characters without braces' }),
  /**
   * Maximum number of notifications of one user.
   * @default 1000
   */
  maxCount: count(1_000),
  /**
   * How long a notification is kept, in milliseconds.
   * @default 604800000
   */
  maxAge: milliseconds(1_000, 366 * DAY, 7 * DAY),
  /**
   * Maximum bytes of the ids and contents of one user.
   * @default 1048576
   */
  maxBytes: bytes(1, 1_024 * MiB, MiB),
  /**
   * Maximum bytes of all users' notifications, including the overhead of the store. In Redis all instances share it.
   * @default 268435456
   */
  totalBytes: bytes(1, 1_024 * 1_024 * MiB, 256 * MiB)
}, { default: {}, additionalProperties: false, allowed: 'an object with redis, keyPrefix, maxCount, maxAge, maxBytes and totalBytes' })

/** How the instances reach each other. */
export const RelayOptions = Type.Object({
  /**
   * The exchange between the instances, the same for all. It is a direct exchange, created if it doesn't exist.
   * @default `<queue>.relay`, of the first queue
   */
  exchange: Type.Optional(Type.String({ minLength: 1, maxLength: 127, allowed: 'a name of 1 to 127 characters' })),
  /**
   * The RabbitMQ user of the instances. Frames of other users are dropped.
   * @default the user of `amqpUrl`, or of `amqp.credentials`
   */
  user: Type.Optional(Type.String({ minLength: 1, maxLength: 255, allowed: 'a name of 1 to 255 characters' })),
  /**
   * How long another instance may take to tell the outcome of a notification, in milliseconds. Then it is asked again.
   * @default 5000
   */
  receiptTimeout: milliseconds(100, 600_000, 5_000)
}, { default: {}, additionalProperties: false, allowed: 'an object with exchange, user and receiptTimeout' })

/** How often connections are pinged, and how long a pong may take. */
export const HeartbeatOptions = Type.Object({
  /**
   * How often a connection is pinged, in milliseconds.
   * @default 25000
   */
  interval: milliseconds(100, 600_000, 25_000), // below the 60 s after which common proxies cut idle connections
  /**
   * How long a pong may take, in milliseconds. It must be less than `interval`.
   * @default 10000
   */
  timeout: milliseconds(50, 600_000, 10_000)
}, { default: {}, additionalProperties: false, allowed: 'an object with interval and timeout' })

/** How long to wait between tries to reconnect to the broker. */
export const ReconnectOptions = Type.Object({
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
}, { default: {}, additionalProperties: false, allowed: 'an object with initialDelay and maxDelay' })

/** Limits on messages, connections, upgrades and frames. */
export const LimitsOptions = Type.Object({
  /**
   * The largest message accepted from the queue, in bytes: as it came, and decompressed. A larger one is dead-lettered.
   * @default 1048576
   */
  messageBytes: bytes(1, 128 * MiB, MiB),
  /**
   * Bytes of memory that unsettled messages of all queues may take, with their decoded contents. While they take more,
   * nothing is read from the queues. A single message may exceed it.
   * @default 67108864
   */
  unsettledBytes: bytes(1, 1_024 * 1_024 * MiB, 64 * MiB),
  /**
   * How long a promise of `decode` may take, in milliseconds. Then its message is dead-lettered. Messages of the same queue
   * wait for it, so that they stay in order.
   * @default 10000
   */
  decodeTimeout: milliseconds(10, 600_000, 10_000),
  /**
   * Maximum number of connections. One more is refused with 503.
   * @default 50000
   */
  connections: count(50_000),
  /**
   * Maximum number of connections of one user. One more is refused with 429.
   * @default 50
   */
  connectionsPerUser: count(50),
  /**
   * Maximum number of connections that one user may open in a minute. One more is refused with 429.
   * @default 600
   */
  connectsPerUser: count(600), // 50 tabs may all reconnect ten times
  /**
   * Maximum number of groups of a connection. Each group costs some 200 bytes for each of its connections, and with
   * `cluster: true` an announcement to the other instances.
   * @default 100
   */
  groupsPerConnection: count(100),
  /**
   * Maximum number of calls of `authenticate` and of an `allowedOrigins` function that run at a time. One more upgrade
   * is refused with 503. Twice as many upgrades may wait in all, for hooks of the application too. Beyond that the newest
   * of the address that has most is refused.
   * @default 1000
   */
  pendingUpgrades: count(1_000),
  /**
   * Maximum number of these calls for clients of one address (of one /64 for IPv6). One more upgrade is refused with 429.
   * The address is that of a proxy, unless Fastify's `trustProxy` is set.
   * @default 500
   */
  pendingUpgradesPerAddress: count(500),
  /**
   * How long each call of `authenticate` or of an `allowedOrigins` function may take, in milliseconds. Then the upgrade
   * is refused with 503.
   * @default 10000
   */
  upgradeTimeout: milliseconds(10, 600_000, 10_000),
  /**
   * The largest frame accepted from a client, in bytes. At a larger one the connection is closed with 1009.
   * @default 4096
   */
  frameBytes: bytes(KiB, 16 * MiB, 4 * KiB), // clients send little; an ack of the longest id takes 536 bytes
  /**
   * Frames accepted from a client in a second, including pings and pongs. At more the connection is closed with 1008.
   * @default 50
   */
  framesPerSecond: count(50),
  /**
   * Bytes that may wait for a client to read them. At more the connection is closed with 4000.
   * @default 1048576
   */
  bufferedBytes: bytes(1, 1_024 * MiB, MiB),
  /**
   * Bytes that may wait for all clients together. At more, those for whom most waits are ended, as if closed with 4000.
   * @default 67108864
   */
  totalBufferedBytes: bytes(1, 1_024 * 1_024 * MiB, 64 * MiB)
}, { default: {}, additionalProperties: false, allowed: 'an object of limits' })
