import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { pathOf, routePattern, routerRules, type RouterRules } from './route-path.js'
import type { UpgradeSocket } from './upgrade.js'
import type { Upgrades } from './upgrades.js'

/**
 * The server that the plugin's own @fastify/websocket listens to. Listening to the application's server, it would answer
 * each upgrade with the application's routes, also those that other listeners answer: Socket.IO would get a 404 into its
 * WebSocket, and @fastify/http-proxy would throw where nobody can catch it.
 */
export class UpgradeGate extends EventEmitter {
  private readonly rules: RouterRules
  /** The WebSocket routes that @fastify/websocket knows. */
  private readonly routes: RegExp[] = []

  /** @param app to whose scope @fastify/websocket is added */
  constructor (app: FastifyInstance) {
    super()
    this.rules = routerRules(app)
    app.addHook('onRoute', ({ url, websocket, wsHandler }) => {
      if (websocket === true || wsHandler !== undefined) this.routes.push(routePattern(url, this.rules))
    })
  }

  /** @fastify/websocket takes a server of its users' choice, and does no more than listen to its upgrades. */
  get server (): Server {
    return this as unknown as Server
  }

  hasRoute (path: string): boolean {
    return this.routes.some(route => route.test(path))
  }
}

/** The registrations of the plugin on one server, and the one listener that is for all of them. */
interface Listening {
  readonly all: Upgrades[]
  stop (): void
}

const listening = new WeakMap<EventEmitter, Listening>()

/**
 * Shows the upgrades of a server to a registration of the plugin.
 * @returns ends that
 */
export function listenToUpgrades (app: FastifyInstance, upgrades: Upgrades): () => void {
  const server: EventEmitter = app.server
  const { all, stop } = listening.get(server) ?? listen(server, routerRules(app))
  all.push(upgrades)
  return () => {
    if (all.includes(upgrades)) all.splice(all.indexOf(upgrades), 1)
    if (all.length === 0) stop()
  }
}

function listen (server: EventEmitter, rules: RouterRules): Listening {
  const all: Upgrades[] = []

  function onUpgrade (request: IncomingMessage, socket: UpgradeSocket, head: Buffer): void {
    const path = pathOf(request.url!, rules)
    const own = all.find(one => one.isOwnPath(path))
    const taker = own ?? all.find(({ gate }) => gate?.hasRoute(path)) ?? all.find(({ gate }) => gate !== undefined) ?? all[0]!
    const upgrade = taker.watch(request, socket, head, own !== undefined)
    if (upgrade === undefined || taker.gate === undefined) return
    if (server.listenerCount('upgrade') === 1) taker.give(upgrade)
    // Other listeners come first. What is no route here is left to them: they may answer later.
    else if (own !== undefined || taker.gate.hasRoute(path)) queueMicrotask(() => taker.offer(upgrade))
  }

  // It must be the first to see an upgrade, to know what the others have written since.
  server.prependListener('upgrade', onUpgrade)
  const entry = {
    all,
    stop () {
      server.removeListener('upgrade', onUpgrade)
      listening.delete(server)
    }
  }
  listening.set(server, entry)
  return entry
}
