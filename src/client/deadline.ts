import type { Received } from './events.js'
import { after } from './platform.js'

/** Limits how long the handlers of a notification may take, so that the server need not close the connection. */
export class Deadline {
  /** In milliseconds. Infinity where the server does not wait for acks. */
  timeout = Infinity

  /**
   * The handlers of a notification begin.
   * @param failed called when they have taken too long
   * @returns to be called when they are done
   */
  start (notification: Received<unknown>, failed: (reason: Error) => void): () => void {
    if (this.timeout === Infinity) return () => {}
    return after(this.timeout, () => {
      const reason = new Error(`not handled within ${this.timeout} ms`)
      notification.abort(reason)
      failed(reason)
    })
  }
}
