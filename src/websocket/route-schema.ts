import { Type } from '@sinclair/typebox'
import { Id } from '../ids.js'

export const QuerySchema = Type.Object({ userId: Id })
export const AuthenticatedQuerySchema = Type.Partial(QuerySchema)

/** The body of Fastify's answer to an error. An error handler of the application may send another body. */
const refused = (description: string) => Type.Object({
  statusCode: Type.Integer(),
  code: Type.String({ description: 'a code of the table of errors' }),
  error: Type.String(),
  message: Type.String()
}, { description })

/** The description of the route that @fastify/swagger shows. */
const description = {
  summary: 'Opens a WebSocket that receives the notifications of a user',
  description: 'Without a subprotocol each notification is a text frame: a string as it is, anything else as its JSON. With the subprotocol `notification.v1` frames are JSON, and the client acknowledges.',
  tags: ['notification'],
  response: {
    101: Type.Null({ description: 'The WebSocket is open' }),
    400: refused('No such subprotocol, or userId is wrong or missing'),
    401: refused('Not authenticated'),
    403: refused('The page is of an origin that may not connect, or userId is not the authenticated user'),
    426: refused('Not an upgrade request'),
    429: refused('Too many connections of this user; with Retry-After'),
    503: refused('Too many connections, or opening one took too long, or the server is closing; with Retry-After')
  }
}

/** @param isAuthenticated whether the application authenticates the user: then the query need not name the user */
export function routeSchema (isAuthenticated: boolean) {
  return { ...description, querystring: isAuthenticated ? AuthenticatedQuerySchema : QuerySchema }
}
