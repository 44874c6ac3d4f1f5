// What an application gives as an option, where that is an object or a function of its own.
import type { FastifyRequest } from 'fastify'

/** Who a request comes from, as the application has verified it. */
export type Identity = string | {
  userId: string
  /** When the credentials expire: a Date, or milliseconds since 1970. The connection is closed then. */
  expiresAt?: Date | number | undefined
}

/** What a function that decides about an upgrade is given beside the request. */
export interface UpgradeContext {
  /**
   * Aborts when nobody waits for the decision any more: the time is up (`limits.upgradeTimeout`), the client has gone, or
   * the application is closing. What goes on after that still counts for `limits.pendingUpgrades`.
   */
  readonly signal: AbortSignal
}

/** Returns the verified user of an upgrade request, or throws to refuse it. */
export type Authenticate = (request: FastifyRequest, context: UpgradeContext) => Identity | Promise<Identity>

/**
 * Which pages may connect: those of any origin; of one that equals a string or is matched, from end to end, by a regular
 * expression; of one for which a function returns true.
 */
export type AllowedOrigins = OriginList | ((origin: string, request: FastifyRequest, context: UpgradeContext) => boolean | Promise<boolean>)

export type OriginList = '*' | ReadonlyArray<string | RegExp>

/** A client of ioredis, 5.11 or later, for one Redis or for a cluster: what is used of it. */
export interface RedisClient {
  readonly status: string
  connect (): Promise<unknown>
  defineCommand (name: string, definition: { lua: string, numberOfKeys: number }): void
  on (event: 'ready', listener: () => void): unknown
  off (event: 'ready', listener: () => void): unknown
}

/** A Registry of prom-client: what is used of it. */
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
