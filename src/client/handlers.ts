import type { Answer } from './answers.js'
import { FullError, LEFT, type Backlog } from './backlog.js'
import type { Deadline } from './deadline.js'
import { NotificationEvent, type Received } from './events.js'
import type { NotificationClientOptions } from './options.js'

export interface HandlersParts<Content> {
  onNotification: NotificationClientOptions<Content>['onNotification']
  hasListener (): boolean
  /** Calls the listeners. */
  dispatch (event: NotificationEvent<Content>): void
  /** What waits for a loop, or for anybody. */
  backlog: Backlog<Content>
  deadline: Deadline
  /** Handlers have handled a notification after their time was over. */
  handledLate (id: string): void
  /** A notification was not handled. */
  failed (id: string, cause: unknown): void
}

/** All who take notifications: `onNotification`, the listeners that are present, and `for await` loops. */
export class Handlers<Content> {
  readonly #parts: HandlersParts<Content>

  constructor (parts: HandlersParts<Content>) {
    this.#parts = parts
  }

  /**
   * Hands a notification to all who take it. If nobody does, it waits.
   * @returns the answer: whether all of them have handled it; undefined if there was no room to wait
   */
  async take (notification: Received<Content>): Promise<Answer | undefined> {
    const { backlog, failed } = this.#parts
    const taken = this.#hand(notification)
    const takers = taken === undefined ? [] : [taken]
    if (taken === undefined || backlog.isRead) takers.push(backlog.add(notification, taken !== undefined))
    try {
      await allDone(takers)
      return 'ack'
    } catch (cause) {
      if (cause !== LEFT) failed(notification.id, cause)
      return cause instanceof FullError ? undefined : 'nack'
    }
  }

  /** Hands over what waits for somebody to take it. */
  handOver (): void {
    this.#parts.backlog.handOver(notification => this.#hand(notification))
  }

  /** Hands a notification to `onNotification` and the listeners. Resolves when they are done; undefined if there are none. */
  #hand (notification: Received<Content>): Promise<void> | undefined {
    const { onNotification, hasListener, dispatch, deadline, handledLate } = this.#parts
    if (onNotification === undefined && !hasListener()) return undefined
    const takers: Array<Promise<unknown>> = []
    if (onNotification !== undefined) takers.push((async () => await onNotification(notification))())
    dispatch(new NotificationEvent(notification, takers))
    const done = allDone(takers)
    return new Promise((resolve, reject) => {
      const stop = deadline.start(notification, reason => {
        reject(reason)
        done.then(() => handledLate(notification.id), () => {})
      })
      done.finally(stop).then(resolve, reject)
    })
  }
}

/**
 * Waits for all, also when one of them has failed: the notification must not be handled again while others still run.
 * @throws what the first of them failed with; LEFT only if none failed otherwise
 */
async function allDone (takers: ReadonlyArray<Promise<unknown>>): Promise<void> {
  const results = await Promise.allSettled(takers)
  const reasons = results.flatMap(result => result.status === 'rejected' ? [result.reason] : [])
  if (reasons.length > 0) throw reasons.find(reason => reason !== LEFT) ?? LEFT
}
