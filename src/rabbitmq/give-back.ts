import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { steadyNow, wallClockLead } from '../clock.js'
import { toMessage } from '../delivery/notification.js'
import { toHeaders } from './age-headers.js'
import type { Publisher } from './publisher.js'
import { withTimeout } from '../with-timeout.js'
import { sizeOf, type Held, type ManagedHoldStore } from '../hold/store.js'

/**
 * Maximum number of unconfirmed notifications, and maximum bytes. A single notification may exceed the bytes. Measured on
 * a quorum queue and two busy cores: 100,000 notifications take 44 s with 100 at a time, 29 s with 500, 25 s with 2,000.
 */
const MAX_UNCONFIRMED = 500
const MAX_BYTES = 4 * 1024 * 1024

/** The wait before the next try while the broker takes no publishes, in milliseconds. */
const RETRY = 50

/** How many of the lost notifications are named in the log. */
const MAX_NAMED = 20

interface Target { readonly queue: string, readonly publisher: Publisher }

/**
 * Publishes the notifications in the memory of this process back to the queue, with confirms. The next process consumes
 * them from there, with their age and in their order. While the broker takes no publishes, retries until the timeout.
 * @param broker undefined if there is no broker
 * @param timeout in milliseconds
 */
export async function giveBack (store: ManagedHoldStore, broker: Target | undefined, timeout: number, log: FastifyBaseLogger): Promise<void> {
  const deadline = performance.now() + timeout
  const timeLeft = () => Math.max(0, deadline - performance.now())
  const lead = wallClockLead()
  /** `sent` counts those of the lost ones that may be in the queue, because the broker has not confirmed them in time. */
  const counts = { returned: 0, lost: 0, sent: 0 }
  const named: Array<{ userId: string, notificationId: string }> = []
  let lastError: unknown
  let unconfirmed = 0
  let bytes = 0
  let changed = () => {}

  function lose (userId: string, { id }: Held, wasSent: boolean): void {
    counts.lost++
    if (wasSent) counts.sent++
    if (named.length < MAX_NAMED) named.push({ userId, notificationId: id })
  }

  /** @returns whether the broker has confirmed the notification in time */
  async function publish ({ queue, publisher }: Target, userId: string, held: Held): Promise<boolean> {
    const { id, content, expiresAt } = held
    const expiration = expiresAt === Infinity ? {} : { expiration: String(Math.max(0, Math.ceil(expiresAt - steadyNow()))) }
    const properties = { contentType: 'application/json', headers: toHeaders(held, lead), ...expiration }
    return await withTimeout(timeLeft(), publisher.publish(queue, toMessage({ userId, payload: { id, json: content } }), properties))
  }

  async function publishInTime (target: Target, userId: string, held: Held): Promise<void> {
    let wasSent = false
    while (timeLeft() > 0 && target.publisher.connection.state !== 'closed') {
      // A blocked connection sends nothing.
      if (target.publisher.connection.state === 'open') {
        wasSent = true
        try {
          if (!await publish(target, userId, held)) break
          counts.returned++
          return
        } catch (error) {
          lastError = error
        }
      }
      await delay(Math.min(RETRY, timeLeft()))
    }
    lose(userId, held, wasSent)
  }

  async function start (target: Target, userId: string, held: Held): Promise<void> {
    const size = sizeOf(held)
    unconfirmed++
    bytes += size
    await publishInTime(target, userId, held)
    unconfirmed--
    bytes -= size
    changed()
  }

  async function until (isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>(resolve => { changed = resolve })
  }

  for (const [userId, all] of store.unsaved()) {
    for (const held of all) {
      await until(() => unconfirmed === 0 || (unconfirmed < MAX_UNCONFIRMED && bytes + sizeOf(held) <= MAX_BYTES))
      if (broker === undefined || timeLeft() === 0) lose(userId, held, false)
      else start(broker, userId, held)
    }
  }
  await until(() => unconfirmed === 0)

  const { returned, lost, sent } = counts
  if (lost > 0) log.error({ count: lost, unconfirmed: sent, returned, first: named, err: lastError }, 'held notifications lost')
  else if (returned > 0) log.info({ count: returned }, 'hold published back to the queue')
}
