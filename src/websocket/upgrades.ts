import { ServerResponse, type IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { errors } from '../errors.js'
import type { Options } from '../options/schema.js'
import { createAddressOf, type AddressOf } from './client-address.js'
import { createRation } from './log-ration.js'
import { networkOf } from './network.js'
import { routePattern, routerRules } from './route-path.js'
import { endSoon, refuse, type Refusal } from './refuse.js'
import { hasResponse, isAnswered, isFree, isRead, type Upgrade, type UpgradeSocket } from './upgrade.js'
import type { UpgradeGate } from './upgrade-gate.js'
import { listenToUpgrades } from './upgrade-listener.js'
import { WaitingUpgrades } from './waiting-upgrades.js'

/** What an upgrade of the route is answered with if neither the route nor a hook can answer it. */
const TOO_MANY = new errors.TooManyUpgrades()
const OVERDUE = new errors.UpgradeTimeout()

/** How much longer than `limits.upgradeTimeout` an upgrade may wait, in milliseconds: the route's own answer comes first. */
const MARGIN = 1_000

/** Maximum number of characters of a path in the log. */
const MAX_PATH = 200

/** Maximum number of paths without a route that are logged in a minute: any client can send any path. */
const NO_ROUTE_LOGGED = 10

/**
 * An upgrade was refused.
 * @param status of the answer; undefined if the socket was ended without an answer
 * @param code of the error; undefined if the application has answered without an error
 */
export type Refused = (status: number | undefined, code: string | undefined) => void

interface UpgradesParts {
  options: Options
  /** Undefined if the application has registered @fastify/websocket. */
  gate: UpgradeGate | undefined
  refused: Refused | undefined
}

/**
 * Ends the sockets of upgrades that become no WebSocket. Node's own time limits don't apply to the socket of an upgrade,
 * and Node doesn't end it after the answer: it would stay open for ever, and keep the server from closing.
 *
 * So a socket is ended as soon as an HTTP answer is written to it, whoever has answered: a hook, Fastify before routing,
 * a scope that knows no WebSockets. An upgrade of the plugin's route that nobody answers in time is refused. Whoever
 * reads from a socket uses it, for a WebSocket or for another protocol: such a socket is never touched.
 */
export class Upgrades {
  readonly gate: UpgradeGate | undefined
  readonly #app: FastifyInstance
  readonly #path: string
  readonly #ownPath: RegExp
  readonly #addressOf: AddressOf
  readonly #ration = createRation(NO_ROUTE_LOGGED, 60_000)
  /** Maximum number of upgrades that wait, of those that count and of the others. */
  readonly #maxWaiting: number
  readonly #refused: Refused | undefined
  readonly #waiting: WaitingUpgrades
  /** Upgrades that nobody has answered in time, and that another listener may still answer. They are ended at shutdown. */
  readonly #unanswered = new Set<Upgrade>()
  readonly #unlisten: () => void

  constructor (app: FastifyInstance, { options: { path, limits }, gate, refused }: UpgradesParts) {
    this.#app = app
    this.#addressOf = createAddressOf(app)
    this.gate = gate
    // Twice the limit of undecided upgrades: the others have been answered, but their sockets are still open.
    this.#maxWaiting = 2 * limits.pendingUpgrades
    this.#refused = refused
    this.#path = app.prefix + path
    this.#ownPath = routePattern(this.#path, routerRules(app))
    this.#waiting = new WaitingUpgrades(limits.upgradeTimeout + MARGIN, upgrade => this.#endWait(upgrade))
    this.#unlisten = listenToUpgrades(app, this)
    app.websocketServer.on('connection', (_socket, request) => {
      const upgrade = this.#waiting.get(request)
      if (upgrade !== undefined) this.#waiting.delete(upgrade)
    })
  }

  isOwnPath (path: string): boolean {
    return this.#ownPath.test(path)
  }

  /**
   * Watches an upgrade until it is answered.
   * @returns undefined if too many wait: then the upgrade was ended
   */
  watch (request: IncomingMessage, socket: UpgradeSocket, head: Buffer, isOurs: boolean): Upgrade | undefined {
    const isCounted = isOurs && !hasResponse(socket)
    const upgrade: Upgrade = {
      request,
      socket,
      head,
      written: socket.bytesWritten,
      network: isCounted ? networkOf(this.#addressOf(request)) : undefined,
      isOurs,
      isCounted,
      isGiven: false,
      until: 0,
      onClose: () => this.#waiting.delete(upgrade)
    }
    if (upgrade.isCounted) {
      if (this.#waiting.countedSize >= this.#maxWaiting) {
        // Whoever has gone, or does not read the answer, gives way to who comes. Then whichever address has most.
        const done = this.#waiting.oldestDone
        const other = done ?? this.#waiting.giveWayTo(upgrade.network)
        this.#end(other ?? upgrade, 'too many at a time', done === undefined ? TOO_MANY : undefined)
        if (other === undefined) return undefined
        this.#waiting.discount(other)
      }
    } else if (this.#waiting.uncountedSize >= this.#maxWaiting) {
      this.#makeRoom(this.#waiting.oldestUncounted!)
    }
    this.#waiting.add(upgrade)
    return upgrade
  }

  /** Lets Fastify answer an upgrade, unless another listener has taken it by now. */
  offer (upgrade: Upgrade): void {
    if (!upgrade.isGiven && isFree(upgrade)) this.give(upgrade)
  }

  /** Lets Fastify answer an upgrade, by the plugin's own @fastify/websocket. */
  give (upgrade: Upgrade): void {
    upgrade.isGiven = true
    if (!hasResponse(upgrade.socket)) this.gate!.emit('upgrade', upgrade.request, upgrade.socket, upgrade.head)
    this.endOnceAnswered(upgrade)
  }

  /** Ends the socket of an upgrade when the response that it has by now is written, unless it is in use then. */
  endOnceAnswered (upgrade: Upgrade): void {
    const { socket, isOurs } = upgrade
    const { _httpMessage: response } = socket
    if (!(response instanceof ServerResponse)) return
    const end = () => {
      if (response.statusCode === 404 && !isOurs && this.gate?.hasRoute(describePath(upgrade.request)) === false) this.#ration(omitted => this.#tellPath(upgrade, omitted))
      if (response.statusCode !== 101 && !isRead(socket)) endSoon(socket)
    }
    if (response.writableFinished) end()
    else response.once('finish', end)
  }

  /**
   * Handles an upgrade that has come to the plugin's route without @fastify/websocket. Another listener has given it to
   * Fastify, for example @fastify/http-proxy, which takes every path. Only @fastify/websocket can open it.
   * @param response the response that is not used then
   * @returns whether the upgrade comes again, by @fastify/websocket
   */
  takeOver (request: IncomingMessage, response: ServerResponse): boolean {
    const upgrade = this.#waiting.get(request)
    if (upgrade === undefined || upgrade.isGiven || this.gate === undefined) return false
    response.detachSocket(upgrade.socket)
    this.give(upgrade)
    return true
  }

  /** Ends the upgrades that nobody has answered, and those that were answered and are still open. They would keep the server open. */
  close (): void {
    this.#unlisten()
    this.#waiting.stop()
    for (const upgrade of [...this.#waiting, ...this.#unanswered]) {
      const { socket, isOurs, isGiven } = upgrade
      if (!isRead(socket) && (isOurs || isGiven || isAnswered(upgrade) || isFree(upgrade))) this.#end(upgrade, 'the application is closing')
    }
  }

  /** An upgrade has waited long enough. */
  #endWait (upgrade: Upgrade): void {
    const { socket, isOurs, isGiven } = upgrade
    if (isRead(socket)) return this.#waiting.delete(upgrade)
    if (isOurs) return this.#end(upgrade, 'not answered in time', OVERDUE)
    if (isGiven && isAnswered(upgrade)) return this.#end(upgrade, 'answered, and still open')
    this.#waiting.delete(upgrade)
    if (isGiven || this.gate === undefined || !isFree(upgrade)) return this.#leaveToOthers(upgrade)
    // The other listeners have not answered in time, so Fastify answers, with a 404.
    this.#waiting.add(upgrade)
    this.give(upgrade)
  }

  /** Ends the wait of an upgrade early. Another listener may still decide about it, and keeps the time to do so. */
  #makeRoom (upgrade: Upgrade): void {
    if (upgrade.isGiven || !isFree(upgrade)) return this.#endWait(upgrade)
    this.#waiting.delete(upgrade)
    this.#leaveToOthers(upgrade)
  }

  /** Who has mistaken the path sees only a 404. */
  #tellPath ({ request }: Upgrade, omitted: number): void {
    this.#app.log.info({ path: describePath(request), route: this.#path, option: 'path', ...(omitted > 0 && { omitted }) }, 'no WebSocket at this path')
  }

  #leaveToOthers (upgrade: Upgrade): void {
    if (upgrade.socket.destroyed) return
    this.#unanswered.add(upgrade)
    upgrade.socket.once('close', () => this.#unanswered.delete(upgrade))
  }

  /** @param refusal of an upgrade of the plugin's route; undefined to count nothing */
  #end (upgrade: Upgrade, reason: string, refusal?: Refusal): void {
    const { request, socket, isOurs, isCounted } = upgrade
    this.#app.log[isOurs ? 'warn' : 'info']({ path: describePath(request), reason }, 'upgrade ended')
    if (!isOurs || refusal === undefined || isAnswered(upgrade)) {
      socket.destroy()
      return
    }
    // An upgrade that doesn't count is behind another request.
    if (isCounted && socket.writable) refuse(socket, refusal)
    else socket.destroy()
    this.#refused?.(isCounted ? refusal.statusCode : undefined, refusal.code)
  }
}

/** Without the query, which may have a token. */
function describePath ({ url }: IncomingMessage): string {
  return url!.split('?', 1)[0]!.slice(0, MAX_PATH)
}
