import type { Answer } from './answers.js'
import type { Connection } from './connection.js'
import type { Received } from './events.js'

/**
 * Ensures that each notification is handled once, however often it arrives. It is answered on the connection that
 * delivered it last, because older connections have ended.
 */
export class Inbox<Content> {
  readonly #handled = new Set<string>()
  /** What is being handled, with the connection that delivered it last. */
  readonly #handling = new Map<string, { connection: Connection }>()

  /**
   * @param limit how many ids of handled notifications to remember
   * @param handle resolves to the answer for the notification; undefined if it is left without one
   */
  constructor (
    private readonly limit: number,
    private readonly handle: (notification: Received<Content>) => Promise<Answer | undefined>
  ) {}

  async receive (notification: Received<Content>, connection: Connection): Promise<void> {
    const { id } = notification
    if (this.#handled.has(id)) return connection.answer('ack', id)
    const same = this.#handling.get(id)
    if (same !== undefined) {
      same.connection = connection
      return
    }
    const entry = { connection }
    this.#handling.set(id, entry)
    const answer = await this.handle(notification)
    this.#handling.delete(id)
    if (answer === 'ack') this.#remember(id)
    if (answer !== undefined) entry.connection.answer(answer, id)
  }

  /** Whether a notification was handled here, as far as its id is remembered. */
  hasHandled (id: string): boolean {
    return this.#handled.has(id)
  }

  /** Handlers that took too long have handled a notification after all: the server need not send it again. */
  handledLate (id: string, connection: Connection | undefined): void {
    this.#remember(id)
    connection?.answer('ack', id)
  }

  #remember (id: string): void {
    this.#handled.add(id)
    if (this.#handled.size <= this.limit) return
    const [oldest] = this.#handled // a Set keeps the order of insertion
    this.#handled.delete(oldest!)
  }
}
