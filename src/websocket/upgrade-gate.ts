import { EventEmitter } from 'node:events'
import type { Server } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { routePattern, routerRules, type RouterRules } from './route-path.js'

/**
 * The server that the plugin's own @fastify/websocket listens to. If @fastify/websocket listened to the application's
 * server, it would answer each upgrade with the application's routes, even an upgrade that another listener answers.
 * Socket.IO would get a 404 into its WebSocket, and @fastify/http-proxy would throw an error that nobody can catch.
 */
export class UpgradeGate extends EventEmitter {
  private readonly rules: RouterRules
  /** The WebSocket routes that @fastify/websocket knows. */
  private readonly routes: RegExp[] = []

  /** @param app the scope in which @fastify/websocket is registered */
  constructor (app: FastifyInstance) {
    super()
    this.rules = routerRules(app)
    app.addHook('onRoute', ({ url, websocket, wsHandler }) => {
      if (websocket === true || wsHandler !== undefined) this.routes.push(routePattern(url, this.rules))
    })
  }

  /** The gate as the `server` option of @fastify/websocket, which only listens to the upgrades of that server. */
  get server (): Server {
    return this as unknown as Server
  }

  hasRoute (path: string): boolean {
    return this.routes.some(route => route.test(path))
  }
}
