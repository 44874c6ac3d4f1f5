import type { WebSocket } from 'ws'
import { describeValue } from '../delivery/notification.js'
import { errors } from '../errors.js'

/**
 * Checks a socket that an application hands over.
 * @throws FST_NOTIFICATION_INVALID_SOCKET
 */
export function assertOpen (socket: WebSocket): void {
  const { readyState, OPEN, send, on } = (socket ?? {}) as Partial<WebSocket>
  if (typeof send !== 'function' || typeof on !== 'function') throw new errors.InvalidSocket(describeValue(socket))
  if (readyState !== OPEN) throw new errors.InvalidSocket('one that is closing or closed')
}
