import type { FastifyBaseLogger } from 'fastify'

/** What peers are told: a broadcast, a disconnect() of a user, or that the hold has a new notification of a user. */
export type UnsentType = 'broadcast' | 'disconnect' | 'wake'

/** Counts and logs what peers are not told. Each type is logged once, until a message of that type is sent again. */
export class Unsent {
  readonly #log: FastifyBaseLogger
  /** How many were dropped since the type was logged. */
  readonly #counts = new Map<UnsentType, number>()

  /** @param counted called for each dropped message */
  constructor (private readonly counted: (reason: 'overflow' | 'expired') => void, log: FastifyBaseLogger) {
    this.#log = log
  }

  /** A message was dropped. */
  add (type: UnsentType, reason: 'overflow' | 'expired'): void {
    this.counted(reason)
    const count = this.#counts.get(type) ?? 0
    this.#counts.set(type, count + 1)
    if (count === 0) this.#log.warn({ type, reason }, 'other instances not told: the broker takes no publishes')
  }

  /** The broker has accepted a message. */
  sent (type: UnsentType): void {
    const count = this.#counts.get(type)
    if (count === undefined) return
    this.#counts.delete(type)
    this.#log.info({ type, unsent: count }, 'other instances are told again')
  }
}
