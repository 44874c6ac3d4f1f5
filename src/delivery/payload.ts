import { randomUUID } from 'node:crypto'

/** What a notification says, under its id. All users who are told the same share one. */
export class Payload {
  /**
   * @param content a string, or any other JSON value
   * @param text the content as a plain client receives it: a string as it is, anything else as its JSON
   * @param ownId the id; without one, a fresh UUID is made when it is asked for
   */
  constructor (readonly content: unknown, readonly text: string, private ownId?: string) {}

  /** Names the notification in logs and dead letters. By it a client knows that it has seen the notification before. */
  get id (): string {
    return (this.ownId ??= randomUUID())
  }

  /** The content as JSON. */
  get json (): string {
    return typeof this.content === 'string' ? JSON.stringify(this.content) : this.text
  }
}
