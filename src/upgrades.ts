import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { Options } from './options.js'

/** The route's own answer comes first. */
const MARGIN = 1_000

/**
 * Ends upgrades that come to nothing, whatever their path. Node sets an upgrade request's socket free of its own time
 * limits; one that Fastify refuses before routing (a malformed URL), or can't answer (pipelined behind another request),
 * would stay open for ever, and keep the server from closing.
 * @returns ends all that still wait
 */
export function watchUpgrades (app: FastifyInstance, { pendingUpgrades, upgradeTimeout }: Options['limits']): () => void {
  const waiting = new Map<IncomingMessage, { socket: Duplex, timer: NodeJS.Timeout, onClose (): void }>()

  function forget (request: IncomingMessage): void {
    const upgrade = waiting.get(request)
    if (upgrade === undefined) return
    waiting.delete(request)
    clearTimeout(upgrade.timer)
    upgrade.socket.off('close', upgrade.onClose) // which would keep the request as long as its WebSocket
  }

  app.server.prependListener('upgrade', (request: IncomingMessage, socket: Duplex) => {
    // Twice as many as may wait for an answer: the others have had theirs, and don't go.
    if (waiting.size >= 2 * pendingUpgrades) {
      socket.destroy()
      return
    }
    const timer = setTimeout(() => socket.destroy(), upgradeTimeout + MARGIN)
    const onClose = () => forget(request)
    waiting.set(request, { socket, timer, onClose })
    socket.on('close', onClose)
  })
  app.websocketServer.on('connection', (_socket, request) => forget(request))

  return () => {
    for (const { socket } of waiting.values()) socket.destroy()
  }
}
