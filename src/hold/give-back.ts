import type { FastifyBaseLogger } from 'fastify'
import { fromJson, toMessage } from '../message.js'
import type { Publisher } from '../publisher.js'
import { within } from '../within.js'
import type { Held, HoldStore } from './store.js'

/**
 * Publishes what would be lost with this process back to the queue, confirmed: the next process has it from there.
 * @param broker where there is one
 * @param timeout how long that may take, in milliseconds
 */
export async function giveBack (
  store: HoldStore, broker: { queue: string, publisher: Publisher } | undefined, timeout: number, log: FastifyBaseLogger
): Promise<void> {
  const held = [...store.unsaved()].flatMap(([userId, all]) => all.map(one => [userId, one] as const))
  if (held.length === 0) return
  let returned = 0
  let lastError: unknown

  async function publish (broker: { queue: string, publisher: Publisher }, userId: string, { id, content, expiresAt }: Held): Promise<void> {
    const expiration = expiresAt === Infinity ? {} : { expiration: String(Math.max(0, Math.ceil(expiresAt - Date.now()))) }
    await broker.publisher.publish(broker.queue, toMessage(fromJson(userId, id, content)), { contentType: 'application/json', ...expiration })
    returned++
  }

  if (broker !== undefined) {
    await within(timeout, Promise.all(held.map(([userId, one]) => publish(broker, userId, one).catch((error: unknown) => { lastError = error }))))
  }
  if (returned === held.length) log.info({ count: returned }, 'hold published back to the queue')
  else log.error({ count: held.length - returned, err: lastError }, 'held notifications lost')
}
