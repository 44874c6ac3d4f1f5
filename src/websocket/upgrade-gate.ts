import { EventEmitter } from 'node:events'
import type { Server } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { routePattern, routerRules, type RouterRules } from './route-path.js'

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
