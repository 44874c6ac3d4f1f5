import type { Connection } from './connection.js'
import type { ReceivedNotification } from './events.js'

/**
 * Ensures that each notification is handled once, however often it arrives. It is acknowledged on the connection that
 * delivered it last, because older connections have ended.
 */
export class Inbox<Content> {
  readonly #handled = new Set<string>()
  readonly #handling = new Map<string, Connection>()

  /**
   * @param limit how many ids of handled notifications to remember
   * @param handle resolves to whether the notification was handled
   */
  constructor (
    private readonly limit: number,
    private readonly handle: (notification: ReceivedNotification<Content>) => Promise<boolean>
  ) {}

  async receive (notification: ReceivedNotification<Content>, connection: Connection): Promise<void> {
    const { id } = notification
    if (this.#handled.has(id)) return connection.ack(id)
    const isBeingHandled = this.#handling.has(id)
    this.#handling.set(id, connection)
    if (isBeingHandled) return

    const done = await this.handle(notification)
    const latest = this.#handling.get(id)
    this.#handling.delete(id)
    if (!done) return
    this.#remember(id)
    latest?.ack(id)
  }

  #remember (id: string): void {
    this.#handled.add(id)
    if (this.#handled.size <= this.limit) return
    const [oldest] = this.#handled // a Set keeps the order of insertion
    this.#handled.delete(oldest!)
  }
}
