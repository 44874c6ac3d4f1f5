import type { FastifyBaseLogger } from 'fastify'

/** What the other instances are told of: a broadcast, a disconnect() of a user, that a user has something in the hold. */
export type UnsentType = 'broadcast' | 'disconnect' | 'wake'

/** Counts what the other instances are not told, and logs it: once for each type, until something of it is sent again. */
export class Unsent {
  readonly #log: FastifyBaseLogger
  /** How many since it was logged. */
  readonly #counts = new Map<UnsentType, number>()

  /** @param counted is told of each that is given up */
  constructor (private readonly counted: (reason: 'overflow' | 'expired') => void, log: FastifyBaseLogger) {
    this.#log = log
  }

  /** One is given up. */
  add (type: UnsentType, reason: 'overflow' | 'expired'): void {
    this.counted(reason)
    const count = this.#counts.get(type) ?? 0
    this.#counts.set(type, count + 1)
    if (count === 0) this.#log.warn({ type, reason }, 'other instances not told: the broker takes no publishes')
  }

  /** The broker has taken one. */
  sent (type: UnsentType): void {
    const count = this.#counts.get(type)
    if (count === undefined) return
    this.#counts.delete(type)
    this.#log.info({ type, unsent: count }, 'other instances are told again')
  }
}
