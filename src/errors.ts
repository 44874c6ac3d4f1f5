import createError from '@fastify/error'

/**
 * Every error that the plugin throws or answers with, by its code.
 * `statusCode` is what a route answers when the error reaches Fastify.
 */
export const errors = {
  /** An option is wrong: names the option, what is allowed and what was given. Thrown by `register`. */
  InvalidOption: createError('FST_NOTIFICATION_INVALID_OPTION', "option '%s' must be %s; got %s", 500, TypeError),

  /** A user id is not 1 to 255 bytes of UTF-8 without control characters. */
  InvalidUserId: createError('FST_NOTIFICATION_INVALID_USER_ID', 'userId must be %s; got %s', 400, TypeError),

  /** A notification id is not 1 to 255 bytes of UTF-8 without control characters. */
  InvalidId: createError('FST_NOTIFICATION_INVALID_ID', 'id must be %s; got %s', 400, TypeError),

  /** A content has no JSON form: `undefined`, a function, a symbol, a `BigInt`, a cycle. */
  InvalidContent: createError('FST_NOTIFICATION_INVALID_CONTENT', 'content must be a string or a value with a JSON form; got %s', 400, TypeError),

  /** A socket given to `register()` is not an open WebSocket of `ws`. */
  InvalidSocket: createError('FST_NOTIFICATION_INVALID_SOCKET', 'socket must be an open WebSocket of @fastify/websocket; got %s', 500, TypeError),

  /** A close code given to `disconnect()` may not be sent, or its reason is over 123 bytes (RFC 6455 §5.5, §7.4). */
  InvalidClose: createError('FST_NOTIFICATION_INVALID_CLOSE', '%s must be %s; got %s', 500, RangeError),

  /** A plain HTTP request came to the WebSocket route (RFC 9110 §15.5.22). */
  UpgradeRequired: createError('FST_NOTIFICATION_UPGRADE_REQUIRED', 'this route speaks WebSocket: send an upgrade request', 426),

  /** The broker could not be reached at start, in a few tries. */
  BrokerUnreachable: createError('FST_NOTIFICATION_BROKER_UNREACHABLE', 'could not start consuming from %s: %s', 503),

  /** The broker refused the credentials, the virtual host or the permissions at start. */
  BrokerRefused: createError('FST_NOTIFICATION_BROKER_REFUSED', '%s refused: %s', 500),

  /** A publish was refused by the broker, returned as unroutable, or there was no connection to send it on. */
  PublishFailed: createError('FST_NOTIFICATION_PUBLISH_FAILED', "could not publish to '%s': %s", 503),

  /** A publish was not confirmed within `publishTimeout`. */
  PublishTimeout: createError('FST_NOTIFICATION_PUBLISH_TIMEOUT', "the broker did not confirm a publish to '%s' within %s ms", 503)
}
