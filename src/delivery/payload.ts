import { randomUUID } from 'node:crypto'

/** The content of a notification, and its id. All users who get the same content share one payload. */
export class Payload {
  /**
   * @param content a string, or any other JSON value
   * @param text the content as a plain client receives it: a string unchanged, any other value as JSON
   * @param ownId the id; if omitted, the first read of `id` creates a fresh UUID
   */
  constructor (readonly content: unknown, readonly text: string, private ownId?: string) {}

  /** Identifies the notification in logs and dead letters. Clients use it to detect a notification they have seen. */
  get id (): string {
    return (this.ownId ??= randomUUID())
  }

  /** The content as JSON. */
  get json (): string {
    return typeof this.content === 'string' ? JSON.stringify(this.content) : this.text
  }
}
