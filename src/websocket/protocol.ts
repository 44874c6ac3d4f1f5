import { Type, type Static } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { Id } from '../ids.js'

/** The subprotocol (RFC 6455 §1.9) of clients that acknowledge. Its frames are JSON texts, one object each. */
export const SUBPROTOCOL = 'notification.v1'

/** The first frame. */
export const WelcomeSchema = Type.Object({
  type: Type.Literal('welcome'),
  connectionId: Type.String({ description: 'as in the log of the server' }),
  heartbeatMs: Type.Integer({ description: 'how often the server pings, in milliseconds' })
})

/** Something for the user. */
export const NotificationSchema = Type.Object({
  type: Type.Literal('notification'),
  id: Id,
  content: Type.Unknown({ description: 'a string, or any other JSON value' }),
  redelivered: Type.Optional(Type.Literal(true, { description: 'it may have been seen before' }))
})

/** Another connection of the user acknowledged it. */
export const DismissSchema = Type.Object({ type: Type.Literal('dismiss'), id: Id })

/** Comes before a close with 1008. */
export const ErrorSchema = Type.Object({
  type: Type.Literal('error'),
  code: Type.String({ description: 'a code of the table of errors' }),
  message: Type.String()
})

/** What the server sends. */
export const ServerFrameSchema = Type.Union([WelcomeSchema, NotificationSchema, DismissSchema, ErrorSchema])
export type ServerFrame = Static<typeof ServerFrameSchema>

/** Received and taken over: what the client sends. Of ids that the server doesn't wait for nothing is said. */
export const AckSchema = Type.Object({
  type: Type.Literal('ack'),
  ids: Type.Array(Id, { minItems: 1 })
}, { additionalProperties: false })
export type Ack = Static<typeof AckSchema>

const ack = TypeCompiler.Compile(AckSchema)

/**
 * @param text what a client sent
 * @returns the ids that it acknowledges; undefined where it is no frame of the protocol
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

/** A {@link NotificationSchema} frame; the content has been encoded already. */
export function encodeNotification ({ id, json }: { id: string, json: string }, redelivered: boolean): string {
  return `{"type":"notification","id":${JSON.stringify(id)},"content":${json}${redelivered ? ',"redelivered":true' : ''}}`
}

/**
 * What of the subprotocols that a client offers is spoken here (RFC 6455 §4.2.2).
 * @param offered the `Sec-WebSocket-Protocol` header; a page may put more into it, a token say
 * @returns undefined where it offers ours not
 */
export function chooseSubprotocol (offered: string): string | undefined {
  return offered.split(',').some(name => name.trim() === SUBPROTOCOL) ? SUBPROTOCOL : undefined
}
