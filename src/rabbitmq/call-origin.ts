import type { Origin } from '../delivery/doors.js'
import { toMessage } from '../delivery/notification.js'
import type { DeadLetters } from './dead-letters.js'

/**
 * The origin of notifications from `notify()`, which do not come from a queue. One object serves all calls.
 * @param deadLetters undefined if there is no broker
 */
export function createCallOrigin (deadLetters: DeadLetters | undefined): Origin {
  return {
    queue: undefined,
    returns: false,
    redelivered: false,
    timeToLive: Infinity,
    gone: undefined,
    isMoved: false,
    timesBefore: () => undefined,
    async deadLetter (notification) {
      await deadLetters?.addOwn(toMessage(notification), 'offline', 'the user had no connection')
    }
  }
}
