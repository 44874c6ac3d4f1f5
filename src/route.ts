import { Type, type Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { errors } from './errors.js'
import { Id } from './ids.js'
import { assertUserId } from './message.js'
import type { Sockets } from './sockets.js'

const QuerySchema = Type.Object({ userId: Id })
type Query = Static<typeof QuerySchema>

/**
 * The WebSocket route: `GET <path>?userId=…`.
 * @param path where
 */
export function addRoute (app: FastifyInstance, path: string, sockets: Sockets): void {
  app.route<{ Querystring: Query }>({
    method: 'GET',
    url: path,
    exposeHeadRoute: false,
    schema: { querystring: QuerySchema },
    // Its own, as the application may validate its routes by another kind of schema.
    validatorCompiler: () => validateQuery,
    // The URL of a WebSocket may carry what only its user should know.
    logSerializers: { req: describeWithoutQuery },
    handler: async (_request, reply) => {
      reply.header('upgrade', 'websocket').header('connection', 'upgrade') // RFC 9110 §15.5.22
      throw new errors.UpgradeRequired()
    },
    wsHandler: (socket, request) => {
      sockets.open(request.query.userId, socket, request)
    }
  })
}

function validateQuery (query: Query): { value: Query } | { error: Error } {
  try {
    assertUserId(query.userId)
    return { value: query }
  } catch (error) {
    return { error: error as Error }
  }
}

function describeWithoutQuery ({ method, url, host, ip }: FastifyRequest): Record<string, unknown> {
  return { method, url: url.split('?', 1)[0], host, remoteAddress: ip }
}
