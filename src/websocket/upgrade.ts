import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** The socket of an upgrade, with the response that Node has assigned to it: a second one can't be. */
export type UpgradeSocket = Socket & { _httpMessage?: unknown }

/** An upgrade whose socket is nobody's WebSocket yet. */
export interface Upgrade {
  readonly request: IncomingMessage
  readonly socket: UpgradeSocket
  readonly head: Buffer
  /** How many bytes had been written to the socket before. */
  readonly written: number
  /** Whether it is on the path of the plugin's route. */
  isOurs: boolean
  /** Whether it is one of those that there can be too many of. Not so behind another request, where nobody can answer it. */
  isCounted: boolean
  /** Whether it was given to the plugin's own @fastify/websocket, as nobody else wanted it. */
  isGiven: boolean
  until: number
  onClose (): void
}

/** Whether somebody reads from a socket: then it is a WebSocket of theirs, or whatever they speak on it. */
export function isRead (socket: UpgradeSocket): boolean {
  return socket.readableFlowing === true || socket.listenerCount('data') > 0 || socket.listenerCount('readable') > 0
}

/** Whether a response has been begun for a socket: its own, or that of a request before it. */
export function hasResponse ({ _httpMessage: response }: UpgradeSocket): boolean {
  return response !== undefined && response !== null
}

/** Whether something was written to the socket since the upgrade came. */
export function isAnswered ({ socket, written }: Upgrade): boolean {
  return socket.bytesWritten > written
}

/** Whether nobody has done anything about it. */
export function isFree (upgrade: Upgrade): boolean {
  const { socket } = upgrade
  return socket.writable && !hasResponse(socket) && !isAnswered(upgrade) && !isRead(socket)
}
