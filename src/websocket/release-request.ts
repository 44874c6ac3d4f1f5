import { ServerResponse } from 'node:http'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import type { Connection } from './connection.js'
import type { UpgradeSocket } from './upgrade.js'
import { handleSocketError } from './server.js'

/**
 * Creates a function that lets go of the request and the response of an upgrade that has become a WebSocket. They would stay
 * in memory as long as the WebSocket: its TCP socket refers to the response, and the error listener that the plugin's own
 * @fastify/websocket adds to each WebSocket refers to both.
 */
export function createRelease (log: FastifyBaseLogger, connectionOf: (socket: WebSocket) => Connection | undefined): (socket: WebSocket, request: FastifyRequest) => void {
  function onError (this: WebSocket, error: Error): void {
    const { id, userId } = connectionOf(this) ?? {}
    handleSocketError(error, this, { log: id === undefined ? log : log.child({ connectionId: id, userId }) })
  }

  return (socket, { raw }) => {
    const [listener, ...others] = socket.listeners('error')
    // Any other has been added by the application.
    if (listener !== undefined && others.length === 0) socket.off('error', listener as () => void).on('error', onError)
    const tcpSocket = raw.socket as UpgradeSocket | undefined // undefined for injectWS
    const response = tcpSocket?._httpMessage
    // Whoever listens to the response wants to know when the connection ends.
    if (response instanceof ServerResponse && response.listenerCount('close') === 0) response.detachSocket(tcpSocket!)
  }
}
