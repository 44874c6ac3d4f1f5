import type { FastifyBaseLogger } from 'fastify'
import type { Dispatcher } from './delivery/dispatcher.js'
import type { Origin, Outcome, Result } from './delivery/doors.js'
import type { Payload } from './delivery/payload.js'
import type { NotifyManyResult } from './notifier.js'

/**
 * Delivers one payload to many users.
 * @param isForAll whether the peers have been told already
 * @returns when every outcome is known
 * @throws as the `deliver` of {@link Dispatcher}
 */
export async function broadcastTo (userIds: Iterable<string>, payload: Payload, dispatcher: Pick<Dispatcher, 'deliver'>, origin: Origin, isForAll = false): Promise<NotifyManyResult> {
  const outcomes: Partial<Record<Outcome, number>> = {}
  let users = 0
  let connections = 0
  function count (result: Result): void {
    users++
    connections += result.connections
    outcomes[result.outcome] = (outcomes[result.outcome] ?? 0) + 1
  }

  const pending: Array<Promise<void>> = []
  for (const userId of userIds) {
    const result = dispatcher.deliver({ userId, payload }, origin, isForAll)
    if (result instanceof Promise) pending.push(result.then(count))
    else count(result)
  }
  await Promise.all(pending)
  return { id: payload.id, users, connections, outcomes }
}

/** Delivers the broadcast of a peer to the users who are connected here. Nobody waits for the outcomes. */
export function broadcastFromPeer (userIds: Iterable<string>, payload: Payload, dispatcher: Pick<Dispatcher, 'deliver'>, origin: Origin, log: FastifyBaseLogger): void {
  for (const userId of [...userIds]) {
    Promise.resolve(dispatcher.deliver({ userId, payload }, origin, true))
      .catch((err: unknown) => log.debug({ err, userId }, 'broadcast not delivered'))
  }
}
