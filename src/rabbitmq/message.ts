import { isUtf8 } from 'node:buffer'
import { Type, type Static } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import type { ConsumeMessage } from 'amqplib'
import { fitsId, Id, ID_RULE, isId } from '../ids.js'
import { toText, type Notification } from '../delivery/notification.js'
import { Payload } from '../delivery/payload.js'

/** A message of the queue, as JSON in UTF-8. Other members are ignored. */
export const MessageSchema = Type.Object({
  userId: Id,
  content: Type.Unknown({ description: 'a string, or any other JSON value' }),
  id: Type.Optional(Id)
})
export type Message = Static<typeof MessageSchema>

const message = TypeCompiler.Compile(MessageSchema)

/** Why a message is invalid: the `x-notification-reason` header of its dead letter. */
export type InvalidReason = 'too-large' | 'invalid-utf8' | 'invalid-json' | 'invalid-message'

/** An invalid message. `detail` says why in words, and never quotes the message. */
export class InvalidMessage {
  constructor (readonly reason: InvalidReason, readonly detail: string) {}
}

/**
 * Decodes a message into a notification.
 * @param message as the broker has delivered it
 * @param maxBytes the largest body to accept
 * @returns the notification, or what is wrong with the message; never throws
 */
export function decode ({ content, properties }: ConsumeMessage, maxBytes: number): Notification | InvalidMessage {
  if (content.length > maxBytes) return new InvalidMessage('too-large', `${content.length} bytes, over the limit of ${maxBytes}`)
  if (!isUtf8(content)) return new InvalidMessage('invalid-utf8', 'the body is not UTF-8')

  let value: unknown
  try {
    value = JSON.parse(content.toString())
  } catch {
    // The parser's error text quotes the body.
    return new InvalidMessage('invalid-json', content.length === 0 ? 'the body is empty' : 'the body is not JSON')
  }
  if (!message.Check(value)) return new InvalidMessage('invalid-message', describe(value))
  if (!fitsId(value.userId)) return new InvalidMessage('invalid-message', `userId must be ${ID_RULE}`)
  if (value.id !== undefined && !fitsId(value.id)) return new InvalidMessage('invalid-message', `id must be ${ID_RULE}`)

  let text: string
  try {
    text = toText(value.content)
  } catch {
    // The parser has no depth limit; the serializer is limited by the stack.
    return new InvalidMessage('invalid-message', 'content is nested too deeply')
  }
  const id = value.id ?? (isId(properties.messageId) ? properties.messageId : undefined)
  return { userId: value.userId, payload: new Payload(value.content, text, id) }
}

function describe (value: unknown): string {
  const { path, schema } = message.Errors(value).First()!
  return `${path === '' ? 'the body' : path.slice(1)} must be ${schema.description ?? 'a JSON object with userId and content'}`
}
