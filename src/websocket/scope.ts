import type { FastifyInstance } from 'fastify'
import { errors } from '../errors.js'

/**
 * Checks that the plugin can work in the scope where it is registered.
 * @throws FST_NOTIFICATION_REGISTERED_TWICE, FST_NOTIFICATION_HTTP1_REQUIRED
 */
export function assertScope (app: FastifyInstance): void {
  if (app.hasDecorator('notifier')) throw new errors.RegisteredTwice()
  const { http2, https } = app.initialConfig
  // A browser opens a WebSocket with an HTTP/1.1 request. `ws` doesn't support WebSockets over HTTP/2 (RFC 8441).
  if (http2 === true && !(typeof https === 'object' && https.allowHTTP1 === true)) throw new errors.Http1Required()
}

const NAME = Symbol.for('fastify.display-name')

/**
 * Refuses a second registration of @fastify/websocket, which the plugin has registered already. Without this check,
 * @fastify/websocket throws an error that nobody can catch, and that only says that there is a decorator 'ws'.
 */
export function refuseSecondWebSocket (app: FastifyInstance): void {
  const { register } = app

  function guarded (this: FastifyInstance, plugin: unknown, ...options: unknown[]): unknown {
    const checked = plugin instanceof Promise ? plugin.then(refuseWebSocket) : refuseWebSocket(plugin)
    return Reflect.apply(register, this, [checked, ...options])
  }

  replace(app, 'register', guarded)

  // Was it registered in the same turn as the plugin, before this has run, it gets as far as its first decorator.
  const { decorateRequest } = app
  replace(app, 'decorateRequest', function (this: FastifyInstance, name: string, ...rest: unknown[]): unknown {
    if (name === 'ws') throw new errors.WebSocketRegisteredTwice()
    return Reflect.apply(decorateRequest, this, [name, ...rest])
  })
}

function replace (app: FastifyInstance, name: 'register' | 'decorateRequest', value: (...args: never[]) => unknown): void {
  Object.defineProperty(app, name, { value, configurable: true, enumerable: true, writable: true })
}

/** @returns the plugin; instead of @fastify/websocket, a plugin that fails */
function refuseWebSocket (plugin: unknown): unknown {
  const { default: main } = Object(plugin) as { default?: unknown }
  const { [NAME]: name } = Object(main ?? plugin) as { [NAME]?: unknown }
  if (name !== '@fastify/websocket') return plugin
  return async () => { throw new errors.WebSocketRegisteredTwice() }
}
