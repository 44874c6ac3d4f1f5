import { Type, type Static } from '@sinclair/typebox'
import { TypeCompiler, type TypeCheck } from '@sinclair/typebox/compiler'
import type { TSchema } from '@sinclair/typebox'
import type { Delivery } from '../delivery/delivery.js'
import type { Outcome } from '../delivery/doors.js'
import { Id } from '../ids.js'

/**
 * The messages between instances. Each is JSON, and the AMQP property `type` tells its schema. The routing key is:
 * - for the instances that have a user: the user id, through the exchange
 * - for all instances: empty, which no user id is, through the exchange
 * - for one instance: the name of its inbox, through the default exchange
 */

/** A number that the sender chooses. It stays the same when the relay is sent again. */
const RelayId = Type.Integer({ minimum: 1 })

/** For the connections of the user, in order. A relay that arrives again after its outcome gets the same receipt. */
const RelaySchema = Type.Array(Type.Object({
  relay: RelayId,
  id: Id,
  /** The content, as JSON in a string: passed on as it is. */
  json: Type.String(),
  /** When the notification was routed for the first time, in microseconds since 1970. */
  position: Type.Number(),
  /** In milliseconds since 1970; absent if the notification doesn't expire. */
  expiresAt: Type.Optional(Type.Number()),
  redelivered: Type.Optional(Type.Literal(true)),
  /** The trace context of the notification, by the propagator's names. */
  trace: Type.Optional(Type.Record(Type.String(), Type.String()))
}))
export type RelayedItem = Static<typeof RelaySchema>[number]

/** Outcomes that one instance tells another. */
const Settled = Type.Union([Type.Literal('sent'), Type.Literal('acknowledged'), Type.Literal('held')])
export type SettledState = Static<typeof Settled>

/** `taken`: connections have the relay, and its outcome follows. `nobody`: no connection took it. Else: the outcome. */
const ReceiptsSchema = Type.Array(Type.Tuple([
  RelayId,
  Type.Union([Type.Literal('taken'), Type.Literal('nobody'), Settled]),
  /** How many connections the relay was handed to. */
  Type.Integer({ minimum: 0 })
]))
export type Receipt = Static<typeof ReceiptsSchema>[number]
export type ReceiptState = Receipt[1]

/** Relays that the receiver has taken and that were settled elsewhere: its clients need not acknowledge them. */
const SettledSchema = Type.Array(Type.Tuple([RelayId, Settled]))
export type SettledItem = Static<typeof SettledSchema>[number]

/** Asks whether the user has a connection. The answer is a receipt, `taken` or `nobody`. */
const ProbeSchema = RelayId

/** The hold has a new notification of the user. */
const WakeSchema = Type.Null()

const DisconnectSchema = Type.Object({ code: Type.Integer(), reason: Type.String() })
export type Disconnect = Static<typeof DisconnectSchema>

/** For every connected user. */
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
 * @returns undefined if it is not a frame, or a frame of a newer version
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

/** Encodes an item of a {@link RelaySchema} frame. */
export function encodeItem (relay: number, { id, position, expiresAt, redelivered, notification: { payload: { json } } }: Delivery, trace: Readonly<Record<string, string>> | undefined): string {
  return `{"relay":${relay},"id":${JSON.stringify(id)},"json":${JSON.stringify(json)},"position":${position}` +
    (expiresAt === Infinity ? '' : `,"expiresAt":${expiresAt}`) + (redelivered ? ',"redelivered":true' : '') + (trace === undefined ? '' : `,"trace":${JSON.stringify(trace)}`) + '}'
}

/** The outcome for a receipt. Other peers may have the user, so `offline` and `dead-lettered` become `nobody`. */
export function toReceiptState (outcome: Outcome): ReceiptState {
  return outcome === 'offline' || outcome === 'dead-lettered' ? 'nobody' : outcome
}

/** The outcome for the peers that have taken the relay: `held` also stands for `offline` and `dead-lettered`. */
export function toSettledState (outcome: Outcome): SettledState {
  return outcome === 'sent' || outcome === 'acknowledged' ? outcome : 'held'
}
