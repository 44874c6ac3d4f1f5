import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import type { Options } from '../options/schema.js'
import { refuseSecondWebSocket } from './scope.js'
import { UpgradeGate } from './upgrade-gate.js'

/** How long a client may take to answer a close frame, in milliseconds. */
export const CLOSE_TIMEOUT = 2_000

/** Maximum number of fragments in one message of a client. The frame limit counts messages, so it doesn't limit fragments. */
const MAX_FRAGMENTS = 16

/**
 * Registers @fastify/websocket, unless the application has registered it. A scope can have only one, and the application
 * may have WebSocket routes of its own.
 * @returns the gate through which it gets its upgrades; undefined if the application has registered it
 */
export async function registerWebSocket (app: FastifyInstance, { limits }: Options): Promise<UpgradeGate | undefined> {
  if (app.hasPlugin('@fastify/websocket')) return undefined
  const gate = new UpgradeGate(app)
  const common = { maxPayload: limits.frameBytes, maxFragments: MAX_FRAGMENTS, closeTimeout: CLOSE_TIMEOUT }
  await app.register(websocket, { errorHandler: handleSocketError, options: { ...common, server: gate.server } })
  refuseSecondWebSocket(app)
  return gate
}

/**
 * Replaces the error handler of @fastify/websocket, which terminates the socket. When a client breaks the protocol, `ws`
 * has already sent a close frame with the matching code; terminating the socket would cut that frame off.
 */
function handleSocketError (error: Error, socket: WebSocket, request: FastifyRequest): void {
  if ((error as { code?: string }).code?.startsWith('WS_ERR_')) {
    request.log.debug({ err: error }, 'client broke the protocol')
    return
  }
  request.log.error({ err: error }, 'websocket failed')
  socket.terminate()
}
