import createError, { type FastifyError } from '@fastify/error'

/**
 * Every error that the plugin throws or answers with, by its code. `statusCode` is the status of the answer when the
 * error reaches Fastify.
 */
export const errors = {
  /** An option is wrong: names the option, what is allowed and what was given. Thrown by `register`. */
  InvalidOption: createError('FST_NOTIFICATION_INVALID_OPTION', "option '%s' must be %s; got %s", 500, TypeError),

  /**
   * The scope has a decorator `notifier` already: the plugin was registered in it, or in a scope around it. Thrown by
   * `register`.
   */
  RegisteredTwice: createError('FST_NOTIFICATION_REGISTERED_TWICE', "fastify.notifier is there already: register fastify-notification once in a scope. For another queue, register it in a scope beside that one, with another 'path'; or give 'queue' an array", 500),

  /**
   * `@fastify/websocket` is registered after the plugin, which has registered it already. Thrown by the `register` of
   * `@fastify/websocket`.
   */
  WebSocketRegisteredTwice: createError('FST_NOTIFICATION_WEBSOCKET_REGISTERED_TWICE', 'fastify-notification has registered @fastify/websocket already: register @fastify/websocket before fastify-notification, or leave it to the plugin', 500),

  /** `@fastify/websocket` uses a version of `ws` that does not bound the fragments of a message. Thrown by `register`. */
  WsTooOld: createError('FST_NOTIFICATION_WS_TOO_OLD', '@fastify/websocket must use ws 8.21.1 or later, which bounds the fragments of a message: npm update ws', 500),

  /** The application is created with `http2: true` and without `allowHTTP1`. Thrown by `register`. */
  Http1Required: createError('FST_NOTIFICATION_HTTP1_REQUIRED', 'WebSockets need HTTP/1.1, which an application with http2: true does not accept: create it with https: { allowHTTP1: true, … }, or without http2', 500),

  /** A user id is not 1 to 255 bytes of UTF-8 without control characters, or is `__proto__`. */
  InvalidUserId: createError('FST_NOTIFICATION_INVALID_USER_ID', 'userId must be %s; got %s', 400, TypeError),

  /** A notification id is not 1 to 255 bytes of UTF-8 without control characters, or is `__proto__`; or it is not in an object. */
  InvalidId: createError('FST_NOTIFICATION_INVALID_ID', 'id must be %s; got %s', 400, TypeError),

  /** The name of a group is not 1 to 255 bytes of UTF-8 without control characters, or is `__proto__`. */
  InvalidGroup: createError('FST_NOTIFICATION_INVALID_GROUP', 'group must be %s; got %s', 400, TypeError),

  /** `except` is no iterable of at most 1,000 user ids. */
  InvalidExcept: createError('FST_NOTIFICATION_INVALID_EXCEPT', 'except must be %s; got %s', 400, TypeError),

  /** `join()` for a user with a connection that is in `limits.groupsPerConnection` groups. Nothing has changed. */
  TooManyGroups: createError('FST_NOTIFICATION_TOO_MANY_GROUPS', 'a connection of the user is in %s groups, which is limits.groupsPerConnection', 429),

  /** The `sessionId` of `disconnect()` is not 1 to 255 bytes of UTF-8 without control characters, or is `__proto__`. */
  InvalidSessionId: createError('FST_NOTIFICATION_INVALID_SESSION_ID', 'sessionId must be %s, or left out to disconnect all devices of the user; got %s', 400, TypeError),

  /** A content has no JSON form: `undefined`, a function, a symbol, a `BigInt`, a cycle. */
  InvalidContent: createError('FST_NOTIFICATION_INVALID_CONTENT', 'content must be a string or a value with a JSON form; got %s', 400, TypeError),

  /** A socket given to `register()` is not an open WebSocket of `ws`. */
  InvalidSocket: createError('FST_NOTIFICATION_INVALID_SOCKET', 'socket must be an open WebSocket of @fastify/websocket; got %s', 500, TypeError),

  /** `disconnect()` was given a close code that may not be sent, a reason over 123 bytes (RFC 6455 §5.5, §7.4), or wrong options. */
  InvalidClose: createError('FST_NOTIFICATION_INVALID_CLOSE', '%s must be %s; got %s', 500, RangeError),

  /** A plain HTTP request came to the WebSocket route (RFC 9110 §15.5.22). */
  UpgradeRequired: createError('FST_NOTIFICATION_UPGRADE_REQUIRED', 'this route speaks WebSocket: send an upgrade request', 426),

  /** An upgrade came to a route that has no WebSocket. */
  NoWebSocket: createError('FST_NOTIFICATION_NO_WEBSOCKET', "the route '%s' has no WebSocket: that of fastify-notification is at '%s'", 404),

  /** The page that opens the WebSocket has an origin that is not allowed. */
  ForbiddenOrigin: createError('FST_NOTIFICATION_FORBIDDEN_ORIGIN', "pages of the origin '%s' may not connect, only %s: see the option allowedOrigins", 403),

  /** `authenticate` threw, returned no user, or returned credentials that have expired. */
  Unauthenticated: createError('FST_NOTIFICATION_UNAUTHENTICATED', 'not authenticated', 401),

  /** `authenticate` threw an error with a `statusCode` of 500 or more. The answer has that status. */
  AuthenticateFailed: createError('FST_NOTIFICATION_AUTHENTICATE_FAILED', 'could not authenticate', 503),

  /** The `userId` of the query is not the authenticated user. */
  ForbiddenUser: createError('FST_NOTIFICATION_FORBIDDEN_USER', 'userId is not the authenticated user', 403),

  /** `authenticate` returned neither a user id nor `{ userId, expiresAt, groups, sessionId }`, or one of these is wrong, such as an `expiresAt` in seconds. */
  InvalidIdentity: createError('FST_NOTIFICATION_INVALID_IDENTITY', 'authenticate returned an invalid %s', 500, TypeError),

  /** `limits.connections` is reached. The answer has a `Retry-After`. */
  TooManyConnections: createError('FST_NOTIFICATION_TOO_MANY_CONNECTIONS', 'too many connections: limits.connections is reached', 503),

  /**
   * The user has reached `limits.connectionsPerUser`, or `limits.connectsPerUser` in this minute. The answer has a
   * `Retry-After`.
   */
  TooManyConnectionsOfUser: createError('FST_NOTIFICATION_TOO_MANY_CONNECTIONS_OF_USER', 'too many connections of this user: %s is reached', 429),

  /**
   * `limits.pendingUpgrades` calls of `authenticate` or `allowedOrigins` are running; or hooks of the application keep
   * twice as many upgrades waiting, and no other address has more of them. The answer has a `Retry-After`.
   */
  TooManyUpgrades: createError('FST_NOTIFICATION_TOO_MANY_UPGRADES', 'too many connections are being opened: limits.pendingUpgrades is reached', 503),

  /**
   * `limits.pendingUpgradesPerAddress` of these calls are for clients of one address. The answer has a `Retry-After`.
   */
  TooManyUpgradesOfAddress: createError('FST_NOTIFICATION_TOO_MANY_UPGRADES_OF_ADDRESS', 'too many connections are being opened from this address: limits.pendingUpgradesPerAddress is reached', 429),

  /**
   * `authenticate` or `allowedOrigins` took longer than `limits.upgradeTimeout`, or a hook of the application took a
   * second longer than that. The answer has a `Retry-After`.
   */
  UpgradeTimeout: createError('FST_NOTIFICATION_UPGRADE_TIMEOUT', 'opening the connection took longer than limits.upgradeTimeout', 503),

  /**
   * The client has disconnected. The `AbortSignal` of `authenticate` or `allowedOrigins` has this as its reason; it is
   * never an answer.
   */
  ClientGone: createError('FST_NOTIFICATION_CLIENT_GONE', 'the client has gone before the connection was open', 499),

  /** The application is closing while `authenticate` or `allowedOrigins` decides. The answer has a `Retry-After`. */
  Closing: createError('FST_NOTIFICATION_CLOSING', 'the server is closing', 503),

  /** A client offers subprotocols, but none that this route supports (RFC 6455 §4.2.2). */
  UnknownSubprotocol: createError('FST_NOTIFICATION_UNKNOWN_SUBPROTOCOL', "the subprotocol must be '%s', or left out", 400),

  /** A client of `notification.v1` sent something that is no frame of a client. In an error frame before a close with 1008. */
  InvalidFrame: createError('FST_NOTIFICATION_INVALID_FRAME', 'a frame must be {"type":"ack","ids":["…"]}, {"type":"nack","ids":["…"]} or {"type":"ping"}', 400),

  /** A client sent more frames than `limits.framesPerSecond`. In an error frame before a close with 1008. */
  TooManyFrames: createError('FST_NOTIFICATION_TOO_MANY_FRAMES', 'at most %s frames a second', 429),

  /**
   * The user's clients have rejected a notification of `notify()` `maxDeliveries` times, and there is no dead-letter queue.
   */
  Rejected: createError('FST_NOTIFICATION_REJECTED', "the user's clients could not handle the notification, and there is no dead-letter queue: give amqpUrl", 500),

  /** The broker could not be reached at start, after a few attempts. */
  BrokerUnreachable: createError('FST_NOTIFICATION_BROKER_UNREACHABLE', 'could not connect to %s: %s', 503),

  /** `amqp.credentials` threw, took too long, or returned no `{ username, password }`. The connection is tried again. */
  CredentialsFailed: createError('FST_NOTIFICATION_CREDENTIALS_FAILED', 'amqp.credentials %s', 503),

  /** The broker refused the credentials, the virtual host or the permissions at start. */
  BrokerRefused: createError('FST_NOTIFICATION_BROKER_REFUSED', '%s refused: %s', 500),

  /** The option `queue` binds a queue to an exchange that does not exist. */
  MissingExchange: createError('FST_NOTIFICATION_MISSING_EXCHANGE', "there is no exchange '%s' to bind the queue '%s' to: create it first, or correct the option queue", 500),

  /**
   * A queue is a stream, is exclusive to another connection, or clashes with the arguments or bindings of the option
   * `queue`.
   */
  UnusableQueue: createError('FST_NOTIFICATION_UNUSABLE_QUEUE', "the queue '%s' cannot be used: %s", 500),

  /** `decode` was given a body that is no JSON, or that does not fit the schema; or it took too long. */
  Undecodable: createError('FST_NOTIFICATION_UNDECODABLE', '%s', 422),

  /**
   * The broker refused a publish or returned it as unroutable, or there was no connection to send it on, or the
   * application closed before a peer told the outcome.
   */
  PublishFailed: createError('FST_NOTIFICATION_PUBLISH_FAILED', "could not publish to '%s': %s", 503),

  /**
   * A message for a group or for everybody is larger, as JSON within JSON, than what the broker takes for the other
   * instances. Those who are connected here have it.
   */
  TooLarge: createError('FST_NOTIFICATION_TOO_LARGE', 'the content is too large for the other instances: with everything around it, it has more than %s bytes of JSON within JSON', 413),

  /** A publish was not confirmed within `publishTimeout`. */
  PublishTimeout: createError('FST_NOTIFICATION_PUBLISH_TIMEOUT', "the broker did not confirm a publish to '%s' within %s ms", 503),

  /** The hold could not be reached, did not answer within two seconds, or refused the call. */
  HoldFailed: createError('FST_NOTIFICATION_HOLD_FAILED', 'the hold could not be reached: %s', 503),

  /** The option for the hold in Redis is a URL, and `ioredis` is not installed. */
  HoldNoClient: createError('FST_NOTIFICATION_HOLD_NO_CLIENT', 'a hold in Redis needs ioredis: npm install ioredis', 500),

  /** The option `metrics` is given, and `prom-client` is not installed. */
  MetricsNoClient: createError('FST_NOTIFICATION_METRICS_NO_CLIENT', 'metrics need prom-client: npm install prom-client', 500),

  /** The registry has these metrics already, from another instance of the plugin. Each needs a registry of its own. */
  MetricsTaken: createError('FST_NOTIFICATION_METRICS_TAKEN', "the registry already has a metric '%s': each instance needs a registry of its own", 500),

  /** `tracing` is true, and `@opentelemetry/api` is not installed. */
  TracingNoApi: createError('FST_NOTIFICATION_TRACING_NO_API', 'tracing needs @opentelemetry/api: npm install @opentelemetry/api', 500),

  /** `trace()` was called without the option `journal`. */
  NoJournal: createError('FST_NOTIFICATION_NO_JOURNAL', 'trace() needs the journal option: how many entries to keep', 500)
}

/** Whether an error is one of these. */
export function isOwnError (error: unknown): error is FastifyError {
  return error instanceof Error && /^FST_NOTIFICATION_/.test((error as { code?: string }).code ?? '')
}
