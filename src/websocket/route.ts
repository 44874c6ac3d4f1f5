import type { Static } from '@sinclair/typebox'
import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import { ConnectRate } from './connect-rate.js'
import { denialOf, DeniedClients, type Denial } from './denied-clients.js'
import { errors } from '../errors.js'
import type { UpgradeContext } from '../options/values.js'
import { identify, type Verified } from './identity.js'
import { Inbound, type InboundParts } from './inbound.js'
import { assertUserId } from '../delivery/notification.js'
import type { Options } from '../options/schema.js'
import { describeAllowed, describeOrigin, isForwarded, isOriginAllowed } from './origin.js'
import type { PendingDecisions } from './pending-decisions.js'
import { chooseSubprotocol, SUBPROTOCOL } from './protocol.js'
import { createRation } from './log-ration.js'
import { RETRY_AFTER } from './refuse.js'
import { causeOf, createErrorSerializer } from './refusal-serializer.js'
import { routeSchema, type AuthenticatedQuerySchema } from './route-schema.js'
import { createRelease } from './release-request.js'
import type { Sockets } from './sockets.js'
import type { Refused, Upgrades } from './upgrades.js'

/** The refusals after which a client may try again: the answer has a Retry-After. */
const RETRIABLE = [errors.TooManyUpgrades, errors.TooManyUpgradesOfAddress, errors.UpgradeTimeout, errors.Closing]

/** Maximum number of refused origins logged in a minute: any client can send any origin. */
const REFUSALS_LOGGED = 10

/** The code for a client that has gone: this is not counted as a refusal. */
const GONE = new errors.ClientGone().code

type Query = Static<typeof AuthenticatedQuerySchema>

type Request = FastifyRequest<{ Querystring: Query }>

interface RouteParts extends Pick<InboundParts, 'acknowledged' | 'rejected'> {
  options: Options
  sockets: Sockets
  upgrades: Upgrades
  /** Calls of the application's functions that decide about upgrades. */
  decisions: PendingDecisions
  /** An upgrade was refused with an HTTP response. */
  refused?: Refused | undefined
}

/** Adds the WebSocket route, with the checks that a request must pass before it becomes a connection. */
export function addRoute (app: FastifyInstance, { options, sockets, acknowledged, rejected, upgrades, decisions, refused }: RouteParts): void {
  const { path, allowedOrigins, allowedHosts, limits, logLevel, logSerializers } = options
  const authenticate = options.authenticate === false ? undefined : options.authenticate
  const verified = new WeakMap<object, Verified>()
  const denials = new WeakMap<object, Denial>()
  /** When the upgrades came, by `performance.now()`. */
  const begun = new WeakMap<object, number>()
  const rate = new ConnectRate(limits.connectsPerUser, limits.connections)
  const denied = new DeniedClients(limits.pendingUpgrades)
  /** The code of the error that a request was refused with. */
  const refusals = new WeakMap<object, string>()
  const ration = createRation(REFUSALS_LOGGED, 60_000)
  const log = app.log.child({}, { ...(logLevel !== undefined && { level: logLevel }), ...(logSerializers !== undefined && { serializers: logSerializers }) })
  const connectionOf = (socket: WebSocket) => sockets.connectionOf(socket)
  const release = createRelease(log, connectionOf)
  const inbound = new Inbound({
    limits,
    acknowledged,
    rejected,
    connectionOf,
    close: (connection, code, reason) => sockets.close(connection, code, reason)
  })

  function refuseHttp (request: Request, reply: FastifyReply): void {
    if (request.ws) return
    reply.header('upgrade', 'websocket').header('connection', 'upgrade') // RFC 9110 §15.5.22
    throw new errors.UpgradeRequired()
  }

  function checkSubprotocol (request: Request): void {
    const offered = request.headers['sec-websocket-protocol']
    if (offered !== undefined && chooseSubprotocol(offered) === undefined) throw new errors.UnknownSubprotocol(SUBPROTOCOL)
  }

  /** Waits for a decision of the application. */
  async function limited<T> (request: Request, reply: FastifyReply, decide: (context: UpgradeContext) => Promise<T>): Promise<T> {
    try {
      return await decisions.run(request, decide)
    } catch (error) {
      throw RETRIABLE.some(Retriable => error instanceof Retriable) ? busy(reply, error as Error) : error
    }
  }

  async function checkOrigin (request: Request, reply: FastifyReply): Promise<void> {
    const { headers: { origin } } = request
    if (origin === undefined) return
    const host = { name: request.host, localAddress: (request.socket as Socket | undefined)?.localAddress, isForwarded: isForwarded(request.headers), allowed: allowedHosts }
    const isAllowed = typeof allowedOrigins === 'function'
      ? await limited(request, reply, async context => await allowedOrigins(origin, request, context) === true)
      : isOriginAllowed(origin, host, allowedOrigins)
    if (isAllowed) return
    const allowed = describeAllowed(host, allowedOrigins)
    ration(omitted => {
      request.log.info({ origin: describeOrigin(origin), allowed, option: 'allowedOrigins', ...(omitted > 0 && { omitted }) }, 'origin refused')
    })
    throw new errors.ForbiddenOrigin(describeOrigin(origin), allowedOrigins === undefined && allowedHosts === undefined ? allowed.join(' or ') : 'those that are listed')
  }

  async function verify (request: Request, reply: FastifyReply): Promise<void> {
    const { userId } = request.query
    if (authenticate === undefined) {
      verified.set(request, { userId: userId!, expiresAt: Infinity, groups: [], sessionId: undefined })
      return
    }
    try {
      verified.set(request, await limited(request, reply, context => identify(request, authenticate, userId, limits.groupsPerConnection, context)))
    } catch (error) {
      const denial = denialOf(error)
      if (denial === undefined || request.headers['sec-websocket-protocol'] === undefined) throw error
      denials.set(request, denial)
    }
  }

  /** The last check. It runs in the same turn as the upgrade, so no other connection can be opened in between. */
  function checkLimits (request: Request, reply: FastifyReply, done: (error?: Error) => void): void {
    const denial = denials.get(request)
    const { userId } = verified.get(request) ?? { userId: '' }
    if (denial !== undefined && !denied.hasRoom) done(denial.error)
    else if (sockets.size >= limits.connections) done(busy(reply, new errors.TooManyConnections()))
    else if (sockets.sizeOf(userId) >= limits.connectionsPerUser) done(busy(reply, new errors.TooManyConnectionsOfUser('limits.connectionsPerUser')))
    else if (denial === undefined && !rate.admit(userId)) done(busy(reply, new errors.TooManyConnectionsOfUser('limits.connectsPerUser')))
    else {
      begun.set(request, performance.now() - reply.elapsedTime)
      // Compression is not accepted: for short messages it costs memory, and it can reveal secrets (BREACH). The header
      // is set to undefined, because deleting it would take more memory.
      const { headers } = request.raw
      if (headers['sec-websocket-extensions'] !== undefined) headers['sec-websocket-extensions'] = undefined
      // `ws` answers with the first offered subprotocol. The others may be the application's, for example a token.
      if (headers['sec-websocket-protocol'] !== undefined) headers['sec-websocket-protocol'] = SUBPROTOCOL
      done()
    }
  }

  function deny (socket: WebSocket, request: Request, denial: Denial): void {
    const { closeCode, error: { statusCode, code } } = denial
    request.log.info({ closeCode, statusCode, code, cause: causeOf(denial.error) }, 'client denied')
    refused?.(statusCode, code)
    denied.close(socket, denial)
  }

  app.route<{ Querystring: Query }>({
    method: 'GET',
    url: path,
    exposeHeadRoute: false,
    schema: routeSchema(authenticate !== undefined),
    // The route has its own compilers. The application's may take another kind of schema, or change the form of errors.
    validatorCompiler: () => query => validateQuery(query, authenticate === undefined),
    serializerCompiler: () => serialize,
    // The query of a WebSocket URL may contain a secret of the user.
    logSerializers: { req: describeWithoutQuery, err: createErrorSerializer(app.log), ...logSerializers },
    ...(logLevel !== undefined && { logLevel }),
    onRequest: async (request, reply) => {
      if (!request.ws && upgrades.takeOver(request.raw, reply.raw)) return reply.hijack()
      refuseHttp(request, reply)
      await checkOrigin(request, reply)
      checkSubprotocol(request)
    },
    preHandler: [verify, checkLimits],
    onError: async (request, _reply, { code }) => { refusals.set(request, code) },
    onResponse: async (request, reply) => {
      const code = refusals.get(request)
      if (isUpgrade(request) && code !== GONE) refused?.(reply.statusCode, code)
      endRefused(request)
    },
    handler: (_request, reply) => reply.callNotFound(), // `onRequest` has refused plain HTTP
    wsHandler: (socket, request) => {
      // The application's own @fastify/websocket has an error handler of the application, which gets the request.
      if (upgrades.gate !== undefined) release(socket, request)
      const denial = denials.get(request)
      if (denial !== undefined) return deny(socket, request, denial)
      const { userId, ...identity } = verified.get(request)!
      verified.delete(request)
      const connection = sockets.open(userId, socket, { request, ...identity, isOwn: true, begunAt: begun.get(request)! })
      inbound.listen(connection)
    }
  })
}

/**
 * Whether a request is a WebSocket upgrade. `ws` is false if the request did not come as an upgrade. `ws` is null if a
 * hook of the application answered before @fastify/websocket saw the request. The header decides then.
 */
function isUpgrade ({ ws, headers }: FastifyRequest): boolean {
  return (ws as boolean | null) !== false && headers.upgrade !== undefined
}

/**
 * Destroys the socket of an upgrade that a hook of the application has refused before @fastify/websocket saw it. The
 * socket would stay open, and keep the server from closing.
 */
function endRefused (request: FastifyRequest): void {
  if (request.headers.upgrade !== undefined && !request.ws) request.raw.socket.destroy()
}

/** Tells a refused client when it may try again (RFC 9110 §10.2.3). */
function busy (reply: FastifyReply, error: Error): Error {
  reply.header('retry-after', RETRY_AFTER)
  return error
}

function validateQuery (query: Query, required: boolean): { value: Query } | { error: Error } {
  try {
    const { userId } = query as { userId?: unknown }
    if (required && userId === undefined) throw new errors.InvalidUserId('in the query of the URL, as in ?userId=123, where there is no option authenticate', 'none')
    if (Array.isArray(userId)) throw new errors.InvalidUserId('given once', `it ${userId.length} times`)
    if (userId !== undefined) assertUserId(userId)
    return { value: query }
  } catch (error) {
    return { error: error as Error }
  }
}

/** Serializes an error as Fastify does, and any other answer of the application as plain JSON. */
function serialize (answer: unknown): string {
  if (!(answer instanceof Error)) return JSON.stringify(answer)
  const { statusCode, code, error, message } = answer as Error & { statusCode?: number, code?: string, error?: string }
  return JSON.stringify({ statusCode, code, error, message })
}

function describeWithoutQuery ({ method, url, host, ip }: FastifyRequest): Record<string, unknown> {
  return { method, url: url.split('?', 1)[0], host, remoteAddress: ip }
}
