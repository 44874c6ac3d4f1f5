import type { Origin } from '../delivery/doors.js'
import { toMessage } from '../delivery/notification.js'
import { errors } from '../errors.js'
import { details, type DeadLetters } from './dead-letters.js'

/**
 * The origin of notifications from `notify()`, which do not come from a queue. One object serves all calls.
 * @param deadLetters called when the first of them is dead-lettered; returns undefined if there is no broker
 */
export function createCallOrigin (deadLetters: () => DeadLetters | undefined): Origin {
  return {
    queue: undefined,
    redelivers: false,
    redelivered: false,
    bytes: 0,
    timeToLive: Infinity,
    gone: undefined,
    isShared: false,
    isMoved: false,
    timesBefore: () => undefined,
    async deadLetter (notification, reason) {
      const letters = deadLetters()
      if (letters === undefined && reason === 'rejected') throw new errors.Rejected()
      await letters?.addOwn(toMessage(notification), reason, details[reason])
    }
  }
}
