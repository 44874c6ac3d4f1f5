import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { steadyNow, wallClockLead } from '../clock.js'
import { toMessage } from '../delivery/notification.js'
import { sizeOf, type Held, type ManagedHoldStore } from '../hold/store.js'
import { withTimeout } from '../with-timeout.js'
import { toHeaders } from './age-headers.js'
import type { Publisher } from './publisher.js'

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
 */
export class GiveBack {
  readonly #target: Target | undefined
  readonly #deadline: number
  readonly #log: FastifyBaseLogger
  /** The same for all, or their order would change. */
  readonly #lead = wallClockLead()
  #returnedCount = 0
  #lostCount = 0
  /** How many of the lost ones may be in the queue, because the broker has not confirmed them in time. */
  #sentCount = 0
  readonly #firstLost: Array<{ userId: string, notificationId: string }> = []
  #lastError: unknown
  #unconfirmedCount = 0
  #unconfirmedBytes = 0
  #confirmed = () => {}

  /**
   * @param target undefined if there is no broker
   * @param timeout in milliseconds
   */
  constructor (target: Target | undefined, timeout: number, log: FastifyBaseLogger) {
    this.#target = target
    this.#deadline = performance.now() + timeout
    this.#log = log
  }

  /** Publishes everything that a store would lose. Resolves when each notification is confirmed or lost. */
  async publishAll (store: ManagedHoldStore): Promise<void> {
    for (const [userId, all] of store.unsaved()) {
      for (const held of all) {
        while (!this.#hasRoom(sizeOf(held))) await this.#nextConfirm()
        if (this.#target === undefined || this.#timeLeft() === 0) this.#lose(userId, held, false)
        else void this.#start(this.#target, userId, held)
      }
    }
    while (this.#unconfirmedCount > 0) await this.#nextConfirm()
    this.#report()
  }

  async #start (target: Target, userId: string, held: Held): Promise<void> {
    const size = sizeOf(held)
    this.#unconfirmedCount++
    this.#unconfirmedBytes += size
    await this.#publishInTime(target, userId, held)
    this.#unconfirmedCount--
    this.#unconfirmedBytes -= size
    this.#confirmed()
  }

  async #publishInTime (target: Target, userId: string, held: Held): Promise<void> {
    const { connection } = target.publisher
    let wasSent = false
    while (this.#timeLeft() > 0 && connection.state !== 'closed') {
      // A blocked connection sends nothing.
      if (connection.state === 'open') {
        wasSent = true
        try {
          if (!await this.#publish(target, userId, held)) break
          this.#returnedCount++
          return
        } catch (error) {
          this.#lastError = error
        }
      }
      await delay(Math.min(RETRY, this.#timeLeft()))
    }
    this.#lose(userId, held, wasSent)
  }

  /** @returns whether the broker has confirmed the notification in time */
  async #publish ({ queue, publisher }: Target, userId: string, held: Held): Promise<boolean> {
    const { id, content, expiresAt } = held
    const expiration = expiresAt === Infinity ? {} : { expiration: String(Math.max(0, Math.ceil(expiresAt - steadyNow()))) }
    const properties = { contentType: 'application/json', headers: toHeaders(held, this.#lead), ...expiration }
    return await withTimeout(this.#timeLeft(), publisher.publish(queue, toMessage({ userId, payload: { id, json: content } }), properties))
  }

  #hasRoom (size: number): boolean {
    return this.#unconfirmedCount === 0 || (this.#unconfirmedCount < MAX_UNCONFIRMED && this.#unconfirmedBytes + size <= MAX_BYTES)
  }

  async #nextConfirm (): Promise<void> {
    await new Promise<void>(resolve => { this.#confirmed = resolve })
  }

  #lose (userId: string, { id }: Held, wasSent: boolean): void {
    this.#lostCount++
    if (wasSent) this.#sentCount++
    if (this.#firstLost.length < MAX_NAMED) this.#firstLost.push({ userId, notificationId: id })
  }

  #timeLeft (): number {
    return Math.max(0, this.#deadline - performance.now())
  }

  #report (): void {
    const counts = { count: this.#lostCount, unconfirmed: this.#sentCount, returned: this.#returnedCount }
    const log = this.#log
    if (this.#lostCount > 0) log.error({ ...counts, first: this.#firstLost, err: this.#lastError }, 'held notifications lost')
    else if (this.#returnedCount > 0) log.info({ count: this.#returnedCount }, 'hold published back to the queue')
  }
}
