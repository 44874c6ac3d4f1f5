import { closeCodes } from '../close-codes.js'
import { isId } from '../ids.js'
import type { Disconnect } from './disconnect.js'

/** Maximum users and sessions that are remembered, some 200 bytes each, more with long ids. */
const MAX_REMEMBERED = 100_000

/**
 * Remembers whom the application has disconnected, for as long as an upgrade may take. Who was on the way in then, for
 * example while `authenticate` ran, must not stay.
 */
export class RecentDisconnects {
  /** By user, and by user and session, the oldest first. */
  readonly #recent = new Map<string, Disconnect & { readonly at: number }>()

  /**
   * @param period how long an upgrade may take, in milliseconds
   * @param now a monotonic clock, in milliseconds
   */
  constructor (private readonly period: number, private readonly now: () => number = () => performance.now()) {}

  add (userId: string, disconnect: Disconnect): void {
    if (!isId(userId)) return // nobody can connect as such a user
    const at = this.now()
    const key = keyOf(userId, disconnect.sessionId)
    this.#recent.delete(key)
    this.#recent.set(key, { ...disconnect, at })
    for (const [oldest, { at: oldestAt }] of this.#recent) {
      if (this.#recent.size <= MAX_REMEMBERED && at - oldestAt <= this.period) break
      this.#recent.delete(oldest)
    }
  }

  /**
   * Finds with what a connection must be closed whose upgrade began at a moment, by the same clock.
   * @returns undefined if neither its user nor its session was disconnected since then
   */
  since ({ userId, sessionId }: { readonly userId: string, readonly sessionId?: string | undefined }, begunAt: number): Disconnect | undefined {
    const ofUser = this.#recent.get(userId)
    const ofSession = sessionId === undefined ? undefined : this.#recent.get(keyOf(userId, sessionId))
    const since = [ofUser, ofSession].filter(disconnect => disconnect !== undefined && disconnect.at >= begunAt)
    // What is for good stays so: new credentials don't help who is signed out.
    return since.find(disconnect => disconnect?.code !== closeCodes.expired) ?? since[0]
  }
}

/** No id contains a line feed. */
function keyOf (userId: string, sessionId: string | undefined): string {
  return sessionId === undefined ? userId : `${userId}\n${sessionId}`
}
