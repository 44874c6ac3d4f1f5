import { Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { MAX_NAMED, type Audience } from '../delivery/multicast.js'
import { fitsId, Id, isId } from '../ids.js'
import type { Recipient } from '../options/decode.js'
import { describeFields } from './describe-fields.js'
import { InvalidMessage } from './invalid-message.js'

const UserId = Type.Union([
  Id,
  Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER, description: 'the same as its digits in a string' })
])
const NotGiven = Type.Null({ description: 'the same as if it is left out' })
const notGivenOr = <Schema extends Parameters<typeof Type.Union>[0][number]>(schema: Schema) => Type.Optional(Type.Union([schema, NotGiven]))

const content = Type.Unknown({ description: 'a string, or any other JSON value' })
const id = Type.Optional(Type.Union([Id, Type.Null({ description: 'the same as no id' })]))

/** A message of the queue, as JSON in UTF-8. Other members are ignored. */
export const MessageSchema = Type.Object({
  userId: notGivenOr(UserId),
  userIds: notGivenOr(Type.Array(UserId, { minItems: 1, maxItems: MAX_NAMED, description: 'several users' })),
  group: notGivenOr(Id),
  everybody: notGivenOr(Type.Boolean({ description: 'true: everybody who is connected. false is the same as if it is left out' })),
  except: notGivenOr(Type.Array(UserId, { maxItems: MAX_NAMED, description: 'with group or everybody: users who do not get it' })),
  content,
  id
}, {
  // TypeBox checks only the members. checkFields() checks the rest.
  oneOf: [
    { properties: { userId: { type: ['string', 'integer'] } }, required: ['userId'] },
    { properties: { userIds: { type: 'array' } }, required: ['userIds'] },
    { properties: { group: { type: 'string' } }, required: ['group'] },
    { properties: { everybody: { const: true } }, required: ['everybody'] }
  ]
})

/** A message of the plugin's own form: whom it is for, what they get, and its id. */
export type Message = Recipient & {
  readonly content: unknown
  readonly id?: string | null | undefined
}

/** Nearly all messages are for one user: their check must be cheap. */
const toUser = TypeCompiler.Compile(Type.Object({ userId: UserId, content, id }))
const toMany = TypeCompiler.Compile(MessageSchema)

/**
 * Checks what a message, or `decode`, says about a notification.
 * @param what it is, in the words of the detail
 * @returns what is wrong; undefined if it is a {@link Message}
 */
export function checkFields (value: unknown, what: string): InvalidMessage | undefined {
  if (toUser.Check(value) ? isToUser(value) : toMany.Check(value) && isToMany(value as Partial<Message>)) return undefined
  const { id } = (value ?? {}) as { id?: unknown }
  return new InvalidMessage('invalid-message', describeFields(value, what), isId(id) ? id : undefined)
}

/** Whom a message that is not for one user is for. It must have passed {@link checkFields}. */
export function audienceOf ({ userIds, group, except }: Recipient): Audience {
  if (userIds != null) return { userIds: toSet(userIds) }
  return { group: group ?? undefined, except: toSet(except ?? []) }
}

/** The id of a notification: that of the fields, else the property `messageId`. If it can't be an id, there is none. */
export function idOf (id: string | null | undefined, properties: Readonly<{ messageId?: unknown }>): string | undefined {
  if (id != null) return id
  const { messageId } = properties
  return isId(messageId) ? messageId : undefined
}

// The schemas can't express the whole rule for ids.

function isToUser ({ userId, userIds, group, everybody, except, content, id }: Partial<Message>): boolean {
  return fitsUserId(userId!) && (id == null || fitsId(id)) && content !== undefined &&
    userIds == null && group == null && (everybody == null || everybody === false) && except == null
}

function isToMany ({ userId, userIds, group, everybody, except, content, id }: Partial<Message>): boolean {
  const given = Number(userIds != null) + Number(group != null) + Number(everybody === true)
  return userId == null && given === 1 && (except == null || userIds == null) && (id == null || fitsId(id)) && content !== undefined &&
    (group == null || fitsId(group)) && (userIds == null || userIds.every(fitsUserId)) && (except == null || except.every(fitsUserId))
}

function fitsUserId (userId: string | number): boolean {
  return typeof userId === 'number' || fitsId(userId)
}

function toSet (userIds: ReadonlyArray<string | number>): ReadonlySet<string> {
  return new Set(userIds.map(String))
}
