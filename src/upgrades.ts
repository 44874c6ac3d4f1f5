import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { errors } from './errors.js'
import type { Options } from './options.js'

/** What a socket would have been told that is ended without an answer. */
const TOO_MANY = new errors.TooManyUpgrades().code
const OVERDUE = new errors.UpgradeTimeout().code

/** The route's own answer comes first. */
const MARGIN = 1_000

/** An upgrade is refused, with a status, or without an answer; by an error of which code, if by one. */
export type Refused = (status: number | undefined, code: string | undefined) => void

/**
 * Ends upgrades that come to nothing, whatever their path. Node sets an upgrade request's socket free of its own time
 * limits; one that Fastify refuses before routing (a malformed URL), or can't answer (pipelined behind another request),
 * would stay open for ever, and keep the server from closing.
 * @param refused is told of each, with the code of the error that it would have been answered with
 * @returns ends all that still wait
 */
export function watchUpgrades (app: FastifyInstance, { pendingUpgrades, upgradeTimeout }: Options['limits'], refused?: Refused): () => void {
  /** The oldest first. One timer is for all: one for each would cost 3 µs. */
  const waiting = new Map<IncomingMessage, { socket: Duplex, until: number, onClose (): void }>()
  let timer: NodeJS.Timeout | undefined

  function arm (wait: number): void {
    timer = setTimeout(endOverdue, wait).unref() // as long as a socket waits, that keeps the process
  }

  function endOverdue (): void {
    timer = undefined
    const now = performance.now()
    for (const { socket, until } of waiting.values()) {
      if (until > now) {
        arm(until - now)
        return
      }
      refused?.(undefined, OVERDUE)
      socket.destroy()
    }
  }

  function forget (request: IncomingMessage): void {
    const upgrade = waiting.get(request)
    if (upgrade === undefined) return
    waiting.delete(request)
    upgrade.socket.off('close', upgrade.onClose) // which would keep the request as long as its WebSocket
  }

  app.server.prependListener('upgrade', (request: IncomingMessage, socket: Duplex) => {
    // Twice as many as may wait for an answer: the others have had theirs, and don't go.
    if (waiting.size >= 2 * pendingUpgrades) {
      refused?.(undefined, TOO_MANY)
      socket.destroy()
      return
    }
    const onClose = () => forget(request)
    waiting.set(request, { socket, until: performance.now() + upgradeTimeout + MARGIN, onClose })
    socket.on('close', onClose)
    if (timer === undefined) arm(upgradeTimeout + MARGIN)
  })
  app.websocketServer.on('connection', (_socket, request) => forget(request))

  return () => {
    clearTimeout(timer)
    for (const { socket } of waiting.values()) socket.destroy()
  }
}
