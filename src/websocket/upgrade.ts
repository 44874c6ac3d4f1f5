import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** The socket of an upgrade, with the response that Node has assigned to the socket. There can be only one response. */
export type UpgradeSocket = Socket & { _httpMessage?: unknown }

/** An upgrade whose socket has not become a WebSocket yet. */
export interface Upgrade {
  readonly request: IncomingMessage
  readonly socket: UpgradeSocket
  readonly head: Buffer
  /** How many bytes had been written to the socket when the upgrade came. */
  readonly written: number
  /** The network of the client; undefined if it can't be known, or if the upgrade does not count. */
  readonly network: string | undefined
  /** Whether the upgrade is on the path of the plugin's route. */
  isOurs: boolean
  /**
   * Whether the limit of waiting upgrades applies to the upgrade. It doesn't apply if the upgrade is pipelined behind
   * another request, because nobody can answer it then.
   */
  isCounted: boolean
  /** Whether the upgrade was given to the plugin's own @fastify/websocket, because no other listener took it. */
  isGiven: boolean
  until: number
  onClose (): void
}

/** Whether anybody reads from a socket. The socket is then in use, for a WebSocket or for another protocol. */
export function isRead (socket: UpgradeSocket): boolean {
  return socket.readableFlowing === true || socket.listenerCount('data') > 0 || socket.listenerCount('readable') > 0
}

/** Whether a response is assigned to a socket: to the upgrade, or to an earlier request on the socket. */
export function hasResponse ({ _httpMessage: response }: UpgradeSocket): boolean {
  return response !== undefined && response !== null
}

/** Whether the client has closed its end, or the connection was cut off. */
export function hasGone (socket: Socket): boolean {
  return socket.readableEnded || socket.destroyed
}

/** Whether anything has been written to the socket since the upgrade came. */
export function isAnswered ({ socket, written }: Upgrade): boolean {
  return socket.bytesWritten > written
}

/** Whether the upgrade can be answered, and nobody has answered it or uses its socket yet. */
export function isFree (upgrade: Upgrade): boolean {
  const { socket } = upgrade
  return socket.writable && !hasResponse(socket) && !isAnswered(upgrade) && !isRead(socket)
}
