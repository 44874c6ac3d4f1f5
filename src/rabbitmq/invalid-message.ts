import type { DeadLetterReason } from '../delivery/doors.js'

/** Why a message is invalid: the `x-notification-reason` header of its dead letter. */
export type InvalidReason = Exclude<DeadLetterReason, 'offline' | 'delivery-limit' | 'internal-error'>

/** A message that can't be used. */
export class InvalidMessage {
  /**
   * @param detail why, in words
   * @param id the id of the notification, if that is known
   * @param loggedDetail the same as `detail` for the log, if `detail` may quote the message
   */
  constructor (readonly reason: InvalidReason, readonly detail: string, readonly id?: string, readonly loggedDetail = detail) {}
}
