import websocket from '@fastify/websocket'
import type { Writable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { WebSocket, WebSocketServer } from 'ws'
import { errors } from '../errors.js'
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
export async function registerWebSocket (app: FastifyInstance, { limits, path }: Options): Promise<UpgradeGate | undefined> {
  const isOwn = !app.hasPlugin('@fastify/websocket')
  const gate = isOwn ? new UpgradeGate(app) : undefined
  if (gate !== undefined) await app.register(websocket, { errorHandler: handleSocketError, options: { ...boundsOf(limits), server: gate.server } })
  await assertBoundsFragments(app.websocketServer)
  if (!isOwn) return undefined
  refuseSecondWebSocket(app)
  refuseOtherRoutes(app, app.prefix + path)
  return gate
}

/** The options of `ws` that bound what a client can make the server hold. */
function boundsOf ({ frameBytes }: Options['limits']) {
  return { maxPayload: frameBytes, maxFragments: MAX_FRAGMENTS, closeTimeout: CLOSE_TIMEOUT }
}

/** The bounds that the application's own @fastify/websocket lacks, as the plugin would set them. */
export function missingBounds ({ websocketServer: { options } }: FastifyInstance, limits: Options['limits']): Partial<ReturnType<typeof boundsOf>> {
  const given = options as Partial<Record<string, number>>
  return Object.fromEntries(Object.entries(boundsOf(limits)).filter(([name, value]) => !(given[name]! <= value)))
}

/**
 * Checks that the version of `ws` bounds the fragments of a message, empty ones too. The application's own
 * @fastify/websocket may have another version, whose number nobody tells. So this tries it with two fragments.
 * @throws FST_NOTIFICATION_WS_TOO_OLD
 */
async function assertBoundsFragments ({ options }: WebSocketServer): Promise<void> {
  const { WebSocket: { Receiver } } = options as unknown as { WebSocket: { Receiver: new (options: object) => Writable } }
  const receiver = new Receiver({ isServer: false, maxFragments: 1 }).on('error', () => {})
  const twoFragments = Buffer.from([0x01, 0x00, 0x00, 0x00]) // text and continuation, neither final, both empty (RFC 6455 §5.2)
  const error = await new Promise(resolve => receiver.write(twoFragments, resolve))
  receiver.destroy()
  if (!(error instanceof Error)) throw new errors.WsTooOld()
}

/**
 * Refuses upgrades of routes that have no WebSocket: @fastify/websocket would open one, and close it again. A hook may
 * still upgrade by itself, so this comes last, after all hooks.
 * @param path the path of the plugin's route
 */
function refuseOtherRoutes (app: FastifyInstance, path: string): void {
  app.addHook('onRoute', route => {
    if (route.websocket === true || route.wsHandler !== undefined) return
    const { handler } = route
    route.handler = function (request, reply) {
      if (request.ws) throw new errors.NoWebSocket(route.url, path)
      return handler.call(this, request, reply)
    }
  })
}

/**
 * Replaces the error handler of @fastify/websocket, which terminates the socket. When a client breaks the protocol, `ws`
 * has already sent a close frame with the matching code; terminating the socket would cut that frame off.
 */
export function handleSocketError (error: Error, socket: WebSocket, { log }: Pick<FastifyRequest, 'log'>): void {
  if ((error as { code?: string }).code?.startsWith('WS_ERR_')) {
    log.debug({ err: error }, 'client broke the protocol')
    return
  }
  log.error({ err: error }, 'websocket failed')
  socket.terminate()
}
