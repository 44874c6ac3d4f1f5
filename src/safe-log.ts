import type { FastifyBaseLogger } from 'fastify'

const LEVELS = ['error', 'warn', 'info', 'debug'] as const

/**
 * Wraps the application's logger, and catches its errors: a full disk, or a serializer that throws, must not change the
 * outcome of a message. The first error is reported as a warning of the process.
 */
export function createSafeLog (logger: FastifyBaseLogger): FastifyBaseLogger {
  let hasWarned = false

  function warn (error: unknown): void {
    if (hasWarned) return
    hasWarned = true
    process.emitWarning(`the logger threw, and its lines are missing: ${String(error)}`, { code: 'FST_NOTIFICATION_LOGGER_FAILED' })
  }

  const methods = LEVELS.map(level => [level, {
    value (...args: Parameters<FastifyBaseLogger['error']>): void {
      try {
        logger[level](...args)
      } catch (error) {
        warn(error)
      }
    }
  }] as const)
  return Object.create(logger, Object.fromEntries(methods))
}
