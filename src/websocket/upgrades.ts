import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { errors } from '../errors.js'
import type { Options } from '../options/schema.js'
import { routePattern, routerRules } from './route-path.js'
import { hasResponse, isAnswered, isFree, isRead, type Upgrade, type UpgradeSocket } from './upgrade.js'
import type { UpgradeGate } from './upgrade-gate.js'
import { listenToUpgrades } from './upgrade-listener.js'

/** The errors that an upgrade would have been answered with that is ended without an answer. */
const TOO_MANY = new errors.TooManyUpgrades().code
const OVERDUE = new errors.UpgradeTimeout().code

/** The route's own answer comes first. */
const MARGIN = 1_000

/** How much of a path is logged. */
const MAX_PATH = 200

/** An upgrade is refused, with a status, or without an answer; by an error of which code, if by one. */
export type Refused = (status: number | undefined, code: string | undefined) => void

interface UpgradesParts {
  options: Options
  /** Left out where the application has registered @fastify/websocket. */
  gate: UpgradeGate | undefined
  refused: Refused | undefined
}

/**
 * Ends upgrades of the plugin's route that nobody answers. Node sets an upgrade request's socket free of its own time
 * limits; one that a hook leaves without an answer, or that Fastify can't answer (pipelined behind another request),
 * would stay open for ever, and keep the server from closing.
 *
 * So would one that Fastify refuses before routing (a malformed URL): what was given to the plugin's own
 * @fastify/websocket, and answered, but is still open, is ended too. The sockets of others are never touched.
 */
export class Upgrades {
  readonly gate: UpgradeGate | undefined
  private readonly app: FastifyInstance
  private readonly own: RegExp
  private readonly limits: Options['limits']
  private readonly refused: Refused | undefined
  /** The oldest first. One timer is for all: one for each would cost 3 µs. */
  private readonly waiting = new Map<IncomingMessage, Upgrade>()
  /** Of those, how many are counted. */
  private count = 0
  /** Upgrades of others that nobody has answered in time; they are not touched before the application closes. */
  private readonly left = new Set<Upgrade>()
  private readonly unlisten: () => void
  private timer: NodeJS.Timeout | undefined

  constructor (app: FastifyInstance, { options: { path, limits }, gate, refused }: UpgradesParts) {
    this.app = app
    this.gate = gate
    this.limits = limits
    this.refused = refused
    this.own = routePattern(app.prefix + path, routerRules(app))
    this.unlisten = listenToUpgrades(app, this)
    app.websocketServer.on('connection', (_socket, request) => this.forget(this.waiting.get(request)))
  }

  isOwnPath (path: string): boolean {
    return this.own.test(path)
  }

  /** @returns undefined where there are too many, and it was ended */
  watch (request: IncomingMessage, socket: UpgradeSocket, head: Buffer, isOurs: boolean): Upgrade | undefined {
    const upgrade: Upgrade = {
      request,
      socket,
      head,
      written: socket.bytesWritten,
      isOurs,
      isCounted: isOurs && !hasResponse(socket),
      isGiven: false,
      until: 0,
      onClose: () => this.forget(upgrade)
    }
    // Twice as many as may wait for an answer: the others have had theirs, and don't go.
    const limit = 2 * this.limits.pendingUpgrades
    if (!upgrade.isCounted) {
      if (this.waiting.size - this.count >= limit) this.settleOldestUncounted()
    } else if (this.count >= limit) {
      this.end(upgrade, 'too many at a time', TOO_MANY)
      return undefined
    }
    this.add(upgrade)
    if (this.timer === undefined) this.arm(this.limits.upgradeTimeout + MARGIN)
    return upgrade
  }

  /** Lets Fastify answer an upgrade, unless somebody else has it by now. */
  offer (upgrade: Upgrade): void {
    if (!upgrade.isGiven && isFree(upgrade)) this.give(upgrade)
  }

  /** Lets Fastify answer an upgrade, by the plugin's own @fastify/websocket. */
  give (upgrade: Upgrade): void {
    upgrade.isGiven = true
    if (!hasResponse(upgrade.socket)) this.gate!.emit('upgrade', upgrade.request, upgrade.socket, upgrade.head)
  }

  /**
   * An upgrade has come to the plugin's route, but not by @fastify/websocket: another listener has given it to Fastify,
   * @fastify/http-proxy say, where it has every path. Only @fastify/websocket can open it.
   * @param response which is not used then
   * @returns whether it comes again, by @fastify/websocket
   */
  takeOver (request: IncomingMessage, response: ServerResponse): boolean {
    const upgrade = this.waiting.get(request)
    if (upgrade === undefined || upgrade.isGiven || this.gate === undefined) return false
    response.detachSocket(upgrade.socket)
    this.give(upgrade)
    return true
  }

  /** Ends those that nobody has answered, or that were answered and are still open, as they would keep the server open. */
  close (): void {
    this.unlisten()
    clearTimeout(this.timer)
    for (const upgrade of [...this.waiting.values(), ...this.left]) {
      const { socket, isOurs, isGiven } = upgrade
      if (!isRead(socket) && (isOurs || isGiven || isAnswered(upgrade) || isFree(upgrade))) this.end(upgrade, 'the application is closing')
    }
  }

  private arm (wait: number): void {
    this.timer = setTimeout(() => this.endOverdue(), wait).unref() // as long as a socket waits, that keeps the process
  }

  private endOverdue (): void {
    this.timer = undefined
    const now = performance.now()
    for (const upgrade of this.waiting.values()) {
      if (upgrade.until > now) {
        this.arm(upgrade.until - now)
        return
      }
      this.settle(upgrade)
    }
  }

  /** Nobody waits any longer for an answer to this one. */
  private settle (upgrade: Upgrade): void {
    if (isRead(upgrade.socket)) this.forget(upgrade)
    else if (upgrade.isOurs) this.end(upgrade, 'not answered in time', OVERDUE)
    else if (upgrade.isGiven && isAnswered(upgrade)) this.end(upgrade, 'answered, and still open')
    else {
      this.forget(upgrade)
      // The others have had their time: Fastify answers with a 404.
      if (!upgrade.isGiven && this.gate !== undefined && isFree(upgrade)) {
        this.add(upgrade)
        this.give(upgrade)
      } else this.leave(upgrade)
    }
  }

  private add (upgrade: Upgrade): void {
    upgrade.until = performance.now() + this.limits.upgradeTimeout + MARGIN
    this.waiting.set(upgrade.request, upgrade)
    if (upgrade.isCounted) this.count++
    upgrade.socket.on('close', upgrade.onClose)
    // Node takes its own listener off an upgrade's socket: a reset connection would end the process.
    if (!upgrade.socket.listeners('error').includes(destroy)) upgrade.socket.on('error', destroy)
  }

  private leave (upgrade: Upgrade): void {
    if (upgrade.socket.destroyed) return
    this.left.add(upgrade)
    upgrade.socket.once('close', () => this.left.delete(upgrade))
  }

  private settleOldestUncounted (): void {
    for (const upgrade of this.waiting.values()) {
      if (upgrade.isCounted) continue
      // Whoever still decides about it has not had its time yet.
      if (!upgrade.isGiven && isFree(upgrade)) {
        this.forget(upgrade)
        this.leave(upgrade)
      } else this.settle(upgrade)
      return
    }
  }

  private forget (upgrade: Upgrade | undefined): void {
    if (upgrade === undefined || !this.waiting.delete(upgrade.request)) return
    if (upgrade.isCounted) this.count--
    upgrade.socket.off('close', upgrade.onClose) // which would keep the request as long as its WebSocket
    if (upgrade.socket.listenerCount('error') > 1) upgrade.socket.off('error', destroy) // somebody else has it now
  }

  /** @param code of the error that it would have been answered with, if it is on the path of the plugin's route */
  private end ({ request, socket, isOurs }: Upgrade, reason: string, code?: string): void {
    if (isOurs && code !== undefined) this.refused?.(undefined, code)
    this.app.log[isOurs ? 'warn' : 'info']({ path: request.url!.split('?', 1)[0]!.slice(0, MAX_PATH), reason }, 'upgrade ended')
    socket.destroy()
  }
}

function destroy (this: UpgradeSocket): void {
  this.destroy()
}
