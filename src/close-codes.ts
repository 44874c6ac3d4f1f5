/**
 * The codes with which the plugin closes a WebSocket.
 *
 * Codes below 4000 are from RFC 6455 §7.4.1 and the IANA registry. A private code (RFC 6455 §7.4.2) tells the client
 * what to do: 4000 to 4499, connect again; 4500 to 4999, don't.
 */
export const closeCodes = {
  /** The server is shutting down or restarting: connect again. */
  goingAway: 1001,
  /** The client sent a binary frame. */
  unsupportedData: 1003,
  /** The client sent too many frames, or an invalid frame of `notification.v1`. */
  policyViolation: 1008,
  /** The client sent a frame that is too large. */
  messageTooBig: 1009,
  /** The client reads too slowly: connect again. */
  slowConsumer: 4000,
  /** The client did not answer a ping: connect again. */
  noPong: 4001,
  /** The client did not acknowledge a notification in time: connect again. */
  ackTimeout: 4002,
  /** The credentials have expired, or the application wants new ones: get new ones before you connect again. */
  expired: 4500,
  /** The credentials were not accepted: get other ones before you connect again. */
  unauthenticated: 4501,
  /** The application called `notifier.disconnect()`: the user has signed out, or is banned. */
  disconnected: 4502,
  /** The credentials are those of somebody who may not connect here. */
  forbidden: 4503
} as const

/** What the codes mean, those of RFC 6455 §7.4.1 and the IANA registry too. */
const meanings: Readonly<Record<number, string>> = {
  1000: 'closed normally',
  1001: 'going away: the server shuts down, or the page was left',
  1002: 'the client broke the WebSocket protocol',
  1003: 'the client sent a binary frame',
  1005: 'closed without a code',
  1006: 'lost without a close frame',
  1007: 'the client sent invalid UTF-8',
  1008: 'the client sent too many frames, or an invalid one',
  1009: 'the client sent a frame that is too large',
  1011: 'an internal error',
  1012: 'the service restarts',
  1013: 'try again later',
  1014: 'bad gateway',
  4000: 'the client reads too slowly',
  4001: 'the client did not answer a ping',
  4002: 'the client did not acknowledge in time',
  4500: 'the credentials have expired, or the application wants new ones',
  4501: 'the credentials were not accepted',
  4502: 'disconnected by the application',
  4503: 'the user may not connect here'
}

/** A close code in words. */
export function meaningOf (code: number): string {
  return meanings[code] ?? 'a code of the application or of the client'
}

/** The codes with which `ws` closes a socket whose client violates the protocol. All other errors have 1002. */
const protocolErrors: Readonly<Record<string, number>> = {
  WS_ERR_INVALID_UTF8: 1007,
  WS_ERR_TOO_MANY_BUFFERED_PARTS: 1008,
  WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH: 1009,
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 1009
}

/** The code with which `ws` closes a socket after an error; undefined if the socket ends without one. */
export function closeCodeOf (error: Error): number | undefined {
  const { code } = error as { code?: string }
  return code?.startsWith('WS_ERR_') === true ? protocolErrors[code] ?? 1002 : undefined
}

/** Maximum bytes of a close frame's reason: a control frame holds 125 bytes, and the code takes two (RFC 6455 §5.5). */
export const MAX_REASON_BYTES = 123

/**
 * Whether an application may close a socket with this code (RFC 6455 §7.4.2).
 * @param code any number
 */
export function isSendableCloseCode (code: number): boolean {
  return Number.isInteger(code) &&
    (code === 1000 || code === 1001 || (code >= 1007 && code <= 1014 && code !== 1010) || (code >= 3000 && code <= 4999))
}
