import type { FastifyBaseLogger } from 'fastify'

/** What peers are told: a broadcast, a disconnect() of a user or of a session, that a user joins or leaves a group, or a message for a group or for everybody. */
export type UnsentType = 'broadcast' | 'disconnect' | 'signout' | 'membership' | 'multicast'

/** Why they are not told: too many messages wait for the broker, they wait too long, or a message is larger than what it takes. */
export type UnsentReason = 'overflow' | 'expired' | 'too-large'

/** Counts and logs what peers are not told. Each type is logged once, until a message of that type is sent again. */
export class Unsent {
  readonly #log: FastifyBaseLogger
  /** How many were dropped since the type was logged. */
  readonly #counts = new Map<UnsentType, number>()

  /** @param counted called for each dropped message */
  constructor (private readonly counted: (reason: UnsentReason) => void, log: FastifyBaseLogger) {
    this.#log = log
  }

  /** A message was dropped. */
  add (type: UnsentType, reason: UnsentReason): void {
    this.counted(reason)
    const count = this.#counts.get(type) ?? 0
    this.#counts.set(type, count + 1)
    if (count > 0) return
    if (reason === 'too-large') this.#log.warn({ type }, 'other instances not told: the message is too large')
    else this.#log.warn({ type, reason }, 'other instances not told: the broker takes no publishes')
  }

  /** The broker has accepted a message. */
  sent (type: UnsentType): void {
    const count = this.#counts.get(type)
    if (count === undefined) return
    this.#counts.delete(type)
    this.#log.info({ type, unsent: count }, 'other instances are told again')
  }
}
