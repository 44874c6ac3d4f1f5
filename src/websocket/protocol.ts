import { Type, type Static } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { Id } from '../ids.js'
import type { Options } from '../options/schema.js'

/** The subprotocol (RFC 6455 §1.9) of clients that acknowledge. Each frame is the JSON text of one object. */
export const SUBPROTOCOL = 'notification.v1'

/** The first frame that the server sends. */
export const WelcomeSchema = Type.Object({
  type: Type.Literal('welcome'),
  connectionId: Type.String({ description: 'as in the log of the server' }),
  heartbeatMs: Type.Integer({ description: 'how often the server pings, in milliseconds' }),
  silenceMs: Type.Integer({ description: 'if nothing has come for this long, in milliseconds, the connection is dead' }),
  frameBytes: Type.Integer({ description: 'the largest frame that the server accepts, in bytes' }),
  framesPerSecond: Type.Integer({ description: 'how many messages the server accepts in a second, each id of an ack counted, apart from one for each notification' }),
  maxUnacked: Type.Optional(Type.Integer({ description: 'how many notifications may be unacknowledged; left out where the server does not wait for acks' })),
  ackTimeoutMs: Type.Optional(Type.Integer({ description: 'how long an ack may take, in milliseconds; left out where the server does not wait for acks' }))
})

/** A notification for the user. */
export const NotificationSchema = Type.Object({
  type: Type.Literal('notification'),
  id: Id,
  content: Type.Unknown({ description: 'a string, or any other JSON value' }),
  redelivered: Type.Optional(Type.Literal(true, { description: 'it may have been seen before' }))
})

/** Other connections of the user have acknowledged the notifications, now or while this client was away. */
export const DismissSchema = Type.Object({
  type: Type.Literal('dismiss'),
  ids: Type.Array(Id, { minItems: 1 }),
  earlier: Type.Optional(Type.Literal(true, { description: 'before this connection; perhaps by this very client' }))
})

/** The server sends it before it closes the connection with 1008. */
export const ErrorSchema = Type.Object({
  type: Type.Literal('error'),
  code: Type.String({ description: 'a code of the table of errors' }),
  message: Type.String()
})

/**
 * In both directions: a sign of life. The server sends it with each WebSocket ping, which a page can't see. The server
 * answers a client's ping with a {@link PongSchema}; a client answers nothing.
 */
export const PingSchema = Type.Object({ type: Type.Literal('ping') }, { additionalProperties: false })

/** The answer to a client's {@link PingSchema}. */
export const PongSchema = Type.Object({ type: Type.Literal('pong') })

/** A frame that the server sends. */
export const ServerFrameSchema = Type.Union([WelcomeSchema, NotificationSchema, DismissSchema, PingSchema, PongSchema, ErrorSchema])
export type ServerFrame = Static<typeof ServerFrameSchema>

/**
 * A client has received these notifications, and takes responsibility for them. The server sends no answer about ids that
 * it doesn't wait for.
 */
export const AckSchema = Type.Object({
  type: Type.Literal('ack'),
  ids: Type.Array(Id, { minItems: 1 })
}, { additionalProperties: false })

/** A client could not handle these notifications. The server tries again later, and gives them up after a few times. */
export const NackSchema = Type.Object({
  type: Type.Literal('nack'),
  ids: Type.Array(Id, { minItems: 1 })
}, { additionalProperties: false })

/** A frame that a client sends. */
export const ClientFrameSchema = Type.Union([AckSchema, NackSchema, PingSchema])
export type ClientFrame = Static<typeof ClientFrameSchema>

const clientFrame = TypeCompiler.Compile(ClientFrameSchema)

/**
 * Decodes the text of a client's frame.
 * @returns undefined if the text is not a frame that a client sends
 */
export function decodeFrame (text: string): ClientFrame | undefined {
  let frame: unknown
  try {
    frame = JSON.parse(text)
  } catch {
    return undefined
  }
  return clientFrame.Check(frame) ? frame : undefined
}

/** Tells a client the limits that it has to keep. */
export function createWelcome (connectionId: string, { heartbeat, limits, settle, maxUnacked, ackTimeout }: Options): ServerFrame {
  return {
    type: 'welcome',
    connectionId,
    heartbeatMs: heartbeat.interval,
    silenceMs: heartbeat.interval + heartbeat.timeout,
    frameBytes: limits.frameBytes,
    framesPerSecond: limits.framesPerSecond,
    ...(settle === 'acknowledged' && { maxUnacked, ackTimeoutMs: ackTimeout })
  }
}

/** Encodes a {@link DismissSchema} frame. */
export function encodeDismissal (ids: readonly string[], isEarlier: boolean): string {
  return `{"type":"dismiss","ids":${JSON.stringify(ids)}${isEarlier ? ',"earlier":true' : ''}}`
}

/** Encodes a {@link NotificationSchema} frame. The content is JSON already. */
export function encodeNotification ({ id, json }: { id: string, json: string }, redelivered: boolean): string {
  return `{"type":"notification","id":${JSON.stringify(id)},"content":${json}${redelivered ? ',"redelivered":true' : ''}}`
}

/**
 * Chooses from the subprotocols that a client offers (RFC 6455 §4.2.2).
 * @param offered the `Sec-WebSocket-Protocol` header. A page may put more into it, for example a token
 * @returns undefined if the client doesn't offer `notification.v1`
 */
export function chooseSubprotocol (offered: string): string | undefined {
  return offered.split(',').some(name => name.trim() === SUBPROTOCOL) ? SUBPROTOCOL : undefined
}
