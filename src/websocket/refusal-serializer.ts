import type { FastifyBaseLogger } from 'fastify'
import { isOwnError } from '../errors.js'

/** Where pino keeps the serializers of a logger: `pino.symbols.serializersSym`. */
const SERIALIZERS = Symbol.for('pino.serializers')

type Serialize = (error: unknown) => unknown

/**
 * Serializes the errors with which the route refuses upgrades: without a stack, which would say only where in the plugin
 * the check is. Other errors are serialized as the application does it.
 */
export function createErrorSerializer (log: FastifyBaseLogger): Serialize {
  const { err: inherited } = ((log as { [SERIALIZERS]?: { err?: Serialize } })[SERIALIZERS]) ?? {}
  return error => {
    if (!isOwnError(error)) return inherited === undefined ? error : inherited(error)
    const { name: type, code, statusCode, message } = error
    return { type, code, statusCode, message, cause: causeOf(error) }
  }
}

/** The code or the name of the error of the application that has caused an error. Its text may quote a token. */
export function causeOf ({ cause }: Error): string | number | undefined {
  const { code, name } = (cause ?? {}) as { code?: string | number, name?: string }
  return code ?? name
}
