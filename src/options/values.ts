// Types of options that are objects or functions of the application.
import type { FastifyRequest } from 'fastify'

/** The user that a request comes from, as the application has verified. */
export type Identity = string | {
  userId: string
  /** When the credentials expire: a Date, or milliseconds since 1970. The connection is closed then. */
  expiresAt?: Date | number | undefined
  /**
   * The groups of the connection: it gets what is for one of them. At most `limits.groupsPerConnection` names, each of 1 to
   * 255 bytes of UTF-8 without control characters.
   */
  groups?: readonly string[] | undefined
  /**
   * The session that the connection belongs to, as one device of the user: `disconnect(userId, { sessionId })` closes its
   * connections alone. 1 to 255 bytes of UTF-8 without control characters. It is never logged.
   */
  sessionId?: string | undefined
}

/** The last argument of a function that decides about an upgrade. */
export interface UpgradeContext {
  /**
   * Aborts when nobody waits for the decision any more: the time is up (`limits.upgradeTimeout`), the client has gone,
   * or the application is closing. A call that goes on after that still counts for `limits.pendingUpgrades`.
   */
  readonly signal: AbortSignal
}

/** Returns the verified user of an upgrade request, or throws to refuse it. */
export type Authenticate = (request: FastifyRequest, context: UpgradeContext) => Identity | Promise<Identity>

/**
 * The origins whose pages may connect: `'*'` for any origin; strings, which must equal the origin; regular expressions,
 * which must match the whole origin; or a function, which must return true.
 */
export type AllowedOrigins = OriginList | ((origin: string, request: FastifyRequest, context: UpgradeContext) => boolean | Promise<boolean>)

export type OriginList = '*' | ReadonlyArray<string | RegExp>

/** The used part of a client of ioredis, 5.11 or later, for one Redis or for a cluster. */
export interface RedisClient {
  readonly status: string
  /** Whether it is a client of a cluster. */
  readonly isCluster?: boolean
  connect (): Promise<unknown>
  defineCommand (name: string, definition: { lua: string, numberOfKeys: number }): void
  on (event: 'ready' | 'close', listener: () => void): unknown
  off (event: 'ready' | 'close', listener: () => void): unknown
}

/** The used part of a Registry of prom-client. */
export interface MetricsRegistry {
  registerMetric (metric: object): void
  getSingleMetric (name: string): unknown
  removeSingleMetric (name: string): void
}

/** Whether a value can be used as a registry. */
export function isRegistry (value: unknown): value is MetricsRegistry {
  const { registerMetric, getSingleMetric, removeSingleMetric } = (value ?? {}) as Partial<MetricsRegistry>
  return [registerMetric, getSingleMetric, removeSingleMetric].every(method => typeof method === 'function')
}
