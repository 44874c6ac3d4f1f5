import { Type, type Static } from '@sinclair/typebox'
import { TypeCompiler, type TypeCheck } from '@sinclair/typebox/compiler'
import type { TSchema } from '@sinclair/typebox'
import type { Delivery } from '../delivery/delivery.js'
import type { Outcome } from '../delivery/doors.js'
import { Id } from '../ids.js'

/**
 * What instances say to each other, as JSON, by the AMQP property `type`. To those that have a user: through the
 * exchange, with the user id as the routing key. To all: with an empty one, which no user has. To one: through the default
 * exchange, with the name of its inbox.
 */

/** A number of the sender's own, the same however often it is sent. */
const RelayId = Type.Integer({ minimum: 1 })

/** For the connections of the user, in order; what comes again after its outcome is known is told that again. */
const RelaySchema = Type.Array(Type.Object({
  relay: RelayId,
  id: Id,
  /** The content, as JSON in a string: passed on as it is. */
  json: Type.String(),
  /** When it was routed for the first time, in microseconds since 1970. */
  position: Type.Number(),
  /** In milliseconds since 1970; left out if it doesn't expire. */
  expiresAt: Type.Optional(Type.Number()),
  redelivered: Type.Optional(Type.Literal(true)),
  /** The trace that it belongs to, by the propagator's names. */
  trace: Type.Optional(Type.Record(Type.String(), Type.String()))
}))
export type RelayedItem = Static<typeof RelaySchema>[number]

/** Outcomes that one instance tells another. */
const Settled = Type.Union([Type.Literal('sent'), Type.Literal('acknowledged'), Type.Literal('held')])
export type SettledState = Static<typeof Settled>

/** What became of relays: `taken` is for now, `nobody` had room for it, the others are the outcome. */
const ReceiptsSchema = Type.Array(Type.Tuple([
  RelayId,
  Type.Union([Type.Literal('taken'), Type.Literal('nobody'), Settled]),
  /** How many connections it was handed to. */
  Type.Integer({ minimum: 0 })
]))
export type Receipt = Static<typeof ReceiptsSchema>[number]
export type ReceiptState = Receipt[1]

/** Relays that were taken, whose outcome somebody else has told: they need not be acknowledged any more. */
const SettledSchema = Type.Array(Type.Tuple([RelayId, Settled]))
export type SettledItem = Static<typeof SettledSchema>[number]

/** Whether the user has a connection: answered by a receipt, `taken` or `nobody`. */
const ProbeSchema = RelayId

/** Something of the user is in the hold now. */
const WakeSchema = Type.Null()

const DisconnectSchema = Type.Object({ code: Type.Integer(), reason: Type.String() })
export type Disconnect = Static<typeof DisconnectSchema>

/** For everybody. */
const BroadcastSchema = Type.Object({ id: Id, json: Type.String() })
export type Broadcast = Static<typeof BroadcastSchema>

const frames = {
  relay: TypeCompiler.Compile(RelaySchema),
  receipts: TypeCompiler.Compile(ReceiptsSchema),
  settled: TypeCompiler.Compile(SettledSchema),
  probe: TypeCompiler.Compile(ProbeSchema),
  wake: TypeCompiler.Compile(WakeSchema),
  disconnect: TypeCompiler.Compile(DisconnectSchema),
  broadcast: TypeCompiler.Compile(BroadcastSchema)
}
export type Frames = { [Type in keyof typeof frames]: (typeof frames)[Type] extends TypeCheck<infer Schema extends TSchema> ? Static<Schema> : never }
export type FrameType = keyof Frames

/**
 * @param type the AMQP property
 * @returns undefined for what is no frame, or one of a newer version
 */
export function decodeFrame (type: unknown, body: Buffer): { [Type in FrameType]: { type: Type, frame: Frames[Type] } }[FrameType] | undefined {
  if (typeof type !== 'string' || !Object.hasOwn(frames, type)) return undefined
  let frame: unknown
  try {
    frame = JSON.parse(body.toString())
  } catch {
    return undefined
  }
  return frames[type as FrameType].Check(frame) ? { type, frame } as ReturnType<typeof decodeFrame> : undefined
}

/** A {@link RelaySchema} frame's item. */
export function encodeItem (relay: number, { id, position, expiresAt, redelivered, notification: { payload: { json } } }: Delivery, trace: Readonly<Record<string, string>> | undefined): string {
  return `{"relay":${relay},"id":${JSON.stringify(id)},"json":${JSON.stringify(json)},"position":${position}` +
    (expiresAt === Infinity ? '' : `,"expiresAt":${expiresAt}`) + (redelivered ? ',"redelivered":true' : '') + (trace === undefined ? '' : `,"trace":${JSON.stringify(trace)}`) + '}'
}

/** An outcome as a receipt tells it: for the sender of the relay, nobody here is only nobody here. */
export function toReceiptState (outcome: Outcome): ReceiptState {
  return outcome === 'offline' || outcome === 'dead-lettered' ? 'nobody' : outcome
}

/** The same for those who have taken it: what is held, or was given up, is theirs no more, and nobody's yet. */
export function toSettledState (outcome: Outcome): SettledState {
  return outcome === 'sent' || outcome === 'acknowledged' ? outcome : 'held'
}
