import { Type, type Static } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { Id } from '../ids.js'

/** The subprotocol (RFC 6455 §1.9) of clients that acknowledge. Each frame is the JSON text of one object. */
export const SUBPROTOCOL = 'notification.v1'

/** The first frame that the server sends. */
export const WelcomeSchema = Type.Object({
  type: Type.Literal('welcome'),
  connectionId: Type.String({ description: 'as in the log of the server' }),
  heartbeatMs: Type.Integer({ description: 'how often the server pings, in milliseconds' })
})

/** A notification for the user. */
export const NotificationSchema = Type.Object({
  type: Type.Literal('notification'),
  id: Id,
  content: Type.Unknown({ description: 'a string, or any other JSON value' }),
  redelivered: Type.Optional(Type.Literal(true, { description: 'it may have been seen before' }))
})

/** Another connection of the user has acknowledged the notification. */
export const DismissSchema = Type.Object({ type: Type.Literal('dismiss'), id: Id })

/** The server sends it before it closes the connection with 1008. */
export const ErrorSchema = Type.Object({
  type: Type.Literal('error'),
  code: Type.String({ description: 'a code of the table of errors' }),
  message: Type.String()
})

/** A frame that the server sends. */
export const ServerFrameSchema = Type.Union([WelcomeSchema, NotificationSchema, DismissSchema, ErrorSchema])
export type ServerFrame = Static<typeof ServerFrameSchema>

/**
 * The frame that a client sends: it has received these notifications, and takes responsibility for them. The server
 * sends no answer about ids that it doesn't wait for.
 */
export const AckSchema = Type.Object({
  type: Type.Literal('ack'),
  ids: Type.Array(Id, { minItems: 1 })
}, { additionalProperties: false })
export type Ack = Static<typeof AckSchema>

const ack = TypeCompiler.Compile(AckSchema)

/**
 * Decodes the text of an ack frame.
 * @returns the acknowledged ids; undefined if the text is not an ack frame
 */
export function decodeAck (text: string): readonly string[] | undefined {
  let frame: unknown
  try {
    frame = JSON.parse(text)
  } catch {
    return undefined
  }
  return ack.Check(frame) ? frame.ids : undefined
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
