import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'

/** Tells the address of a client, as `request.ip` would; undefined if it can't be known. */
export type AddressOf = (request: IncomingMessage) => string | undefined

/**
 * Tells the address of a client before a hook of the application sees the request. Fastify has no function for that: it
 * computes `request.ip`, with `trustProxy`, in a getter of its class of requests, and only from the raw request. So an
 * object of that class that has nothing but the raw request knows the address. The class is found by the name of its
 * symbol. A Fastify without it knows no addresses here.
 */
export function createAddressOf (app: FastifyInstance): AddressOf {
  const key = Object.getOwnPropertySymbols(app).find(({ description }) => description === 'fastify.Request')
  const { prototype } = (key === undefined ? undefined : Reflect.get(app, key) as { prototype?: object } | undefined) ?? {}
  if (prototype === undefined) return () => undefined
  return raw => {
    try {
      const { ip } = Object.assign(Object.create(prototype), { raw }) as { ip?: unknown }
      return typeof ip === 'string' ? ip : undefined
    } catch {
      return undefined // a trustProxy function of the application may throw
    }
  }
}
