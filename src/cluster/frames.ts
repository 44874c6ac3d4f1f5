import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { isSendableCloseCode, MAX_REASON_BYTES } from '../close-codes.js'
import { MAX_NAMED } from '../delivery/multicast.js'
import { Id } from '../ids.js'
import { MAX_MESSAGE_BYTES } from '../rabbitmq/message-size.js'
import { Entry } from './entries.js'

/**
 * The messages between instances. docs/instances.md describes them. Each is a JSON object with an envelope and a body.
 * Instances understand only frames of their own version.
 */
export const FRAME_VERSION = 1

/** The largest body that fits into a message together with the envelope, in bytes. */
export const MAX_BODY_BYTES = MAX_MESSAGE_BYTES - 4_096

/** Maximum users per announcement, and per part of a state. With ids of 255 bytes that is some 1.3 MB. */
export const MAX_USERS = 5_000

/** Maximum parts of a state, and announcements that begin a term: more users than one process can have. */
export const MAX_PARTS = 1_000

/** Maximum peers: whoever has our login could announce any number. */
export const MAX_PEERS = 1_000

const Users = Type.Array(Id, { maxItems: MAX_USERS })
const Entries = Type.Array(Entry, { maxItems: MAX_USERS })
const Part = Type.Integer({ minimum: 0, maximum: MAX_PARTS - 1 })

/** Beyond it, one more makes no difference: a number that counts would stand still. */
const maximum = Number.MAX_SAFE_INTEGER

const Count = Type.Integer({ minimum: 0, maximum })

/** A number that the sender chooses. It stays the same when the relay is sent again. */
const RelayId = Type.Integer({ minimum: 1, maximum })

/** Outcomes that one instance tells another. In a receipt, `dead-lettered` says that the clients there could not handle it. */
const Settled = Type.Union([Type.Literal('sent'), Type.Literal('acknowledged'), Type.Literal('held'), Type.Literal('dead-lettered')])
export type SettledState = Static<typeof Settled>

const InstanceId = Type.String({ minLength: 1, maxLength: 64 })
const InboxName = Type.String({ minLength: 1, maxLength: 255 })
const Term = Type.Integer({ minimum: 1, maximum })

/** The peers that the sender knows: the receiver may have missed what one of them has announced, and that one may hang. */
const KnownPeers = Type.Optional(Type.Array(Type.Object({ instance: InstanceId, inbox: InboxName, term: Term }), { maxItems: MAX_PEERS }))
export type KnownPeer = NonNullable<Static<typeof KnownPeers>>[number]

/** With what connections are closed. */
const Close = { code: Type.Integer(), reason: Type.String() }

const bodies = {
  /** To all: users who have connected to the sender, and users who have left it; and groups in the same way. */
  presence: Type.Object({
    here: Entries,
    gone: Entries,
    /** How many more announcements begin the term. Together these list all users of the sender. Absent in later ones. */
    more: Type.Optional(Part),
    /** In the last one of these. */
    peers: KnownPeers
  }),
  /** To all, twice a second: the sender is alive. */
  beat: Type.Null(),
  /** To all: the sender is closing. Its users are gone. */
  leave: Type.Null(),
  /** To all: who is there? The answer is a `beat`. To one: asks for the users of the receiver. Each question has a number of its own. */
  hello: Count,
  /** To one: the answer to a question. All users and groups of the sender, in parts, as of announcement `seq` of the envelope. */
  state: Type.Object({ answers: Count, users: Entries, part: Part, more: Part, peers: KnownPeers }),
  /** To one: the sender knows all users of the receiver's term. */
  synced: Count,
  /** To the sender itself: everything that was in its inbox before has been received. 0: its inbox is bound. */
  mark: Count,
  /** To one: notifications to deliver, in order. A relay that arrives again after its outcome gets the same receipt. */
  relay: Type.Array(Type.Object({
    relay: RelayId,
    /** Rises when the sender asks anew, after a refusal; the same when the relay is sent again. Former builds send none. */
    attempt: Type.Optional(RelayId),
    /**
     * The user's previous relay to this instance that has no answer yet, and its attempt. If that was refused, this one is
     * refused. If that has not arrived, this one is not answered.
     */
    after: Type.Optional(RelayId),
    afterAttempt: Type.Optional(RelayId),
    /**
     * Instead of `after`, if a connection of the sender has this one. If the previous one has not arrived, this one is not
     * answered. If the previous one was refused, this one is delivered: the sender does not ask for the previous one again.
     */
    behind: Type.Optional(RelayId),
    userId: Id,
    id: Id,
    /** The content, as JSON in a string: passed on as it is. */
    json: Type.String(),
    /** When the notification was taken for the first time, in microseconds since 1970. */
    position: Type.Number(),
    /** In milliseconds since 1970; absent if the notification doesn't expire. */
    expiresAt: Type.Optional(Type.Number()),
    redelivered: Type.Optional(Type.Literal(true)),
    /** The trace context of the notification, by the propagator's names. */
    trace: Type.Optional(Type.Record(Type.String(), Type.String()))
  })),
  /**
   * To one: answers to relays, each with the number of connections that the relay was handed to. `taken`: connections
   * have the relay, and its outcome follows. `nobody`: no connection took it. `overdue`: no client has acknowledged it in
   * time. Otherwise: the outcome.
   */
  receipts: Type.Array(Type.Tuple([RelayId, Type.Union([Type.Literal('taken'), Type.Literal('nobody'), Type.Literal('overdue'), Settled]), Count])),
  /** To one: relays that the receiver has taken were settled elsewhere, so its clients need not acknowledge them. */
  settled: Type.Array(Type.Tuple([RelayId, Settled])),
  /** To one, or to all: the hold has new notifications of these users. */
  wake: Users,
  /**
   * To one: a content for the connections of a group that are here, or for all if there is no group; not for the users of
   * `except`. One that arrives again after its outcome gets the same receipt.
   */
  multicast: Type.Array(Type.Object({
    relay: RelayId,
    id: Id,
    json: Type.String(),
    group: Type.Optional(Id),
    except: Type.Optional(Type.Array(Id, { maxItems: MAX_NAMED })),
    redelivered: Type.Optional(Type.Literal(true))
  })),
  /** To one: multicasts of the sender. Clients of the receiver that have them need not acknowledge them any more. */
  stop: Type.Array(Type.Tuple([RelayId, Type.Literal('stop')])),
  /** To one: what became of multicasts: how many users and connections they were for, and how many users had which outcome. */
  counted: Type.Array(Type.Tuple([RelayId, Type.Literal('counted'), Count, Count, Type.Partial(Type.Object({
    acknowledged: Count, sent: Count, held: Count, offline: Count, 'dead-lettered': Count
  }), { additionalProperties: false })])),
  /** To all: puts the connections that a user has now into a group, or takes them out. */
  membership: Type.Object({ userId: Id, group: Id, joins: Type.Boolean() }),
  /** To all: closes a user's connections. */
  disconnect: Type.Object({ userId: Id, ...Close }),
  /**
   * To all: closes the connections of one session of a user. It is a kind of its own: an instance that does not know it
   * must drop it, and not close all connections of the user.
   */
  signout: Type.Object({ userId: Id, sessionId: Id, ...Close }),
  /** To all: for every connected user but those of `except`. */
  broadcast: Type.Object({ id: Id, json: Type.String(), except: Type.Optional(Type.Array(Id, { maxItems: MAX_NAMED })) })
}

export type FrameKind = keyof typeof bodies

/** Which kinds go to all instances. The others go to one. */
const TO_ALL: ReadonlySet<string> = new Set<FrameKind>(['presence', 'beat', 'leave', 'membership', 'disconnect', 'signout', 'broadcast'])

/** Which kinds go either way. */
const EITHER_WAY: ReadonlySet<string> = new Set<FrameKind>(['hello', 'wake'])

type Bodies = { [Kind in FrameKind]: Static<(typeof bodies)[Kind]> }

export type Presence = Bodies['presence']
export type RelayedItem = Bodies['relay'][number]
export type Receipt = Bodies['receipts'][number]
export type ReceiptState = Receipt[1]
export type SettledItem = Bodies['settled'][number]
export type MulticastItem = Bodies['multicast'][number]
export type StopItem = Bodies['stop'][number]
export type Counted = Bodies['counted'][number]
export type Membership = Bodies['membership']
export type Disconnect = Omit<Bodies['disconnect'], 'userId'> & { sessionId?: string | undefined }
export type Broadcast = Bodies['broadcast']

const EnvelopeSchema = Type.Object({
  v: Type.Literal(FRAME_VERSION),
  /** The instance that has sent the frame. */
  from: InstanceId,
  /** The current inbox of that instance, for answers. */
  inbox: InboxName,
  /** Rises each time that the inbox or the publishing channel of the sender is opened anew. */
  term: Term,
  /** The sender's newest announcement in this term: announcements are numbered from 1, without gaps. */
  seq: Count
})
export type Envelope = Omit<Static<typeof EnvelopeSchema>, 'v'>

/** A frame that has arrived. */
export type Frame = { [Kind in FrameKind]: Envelope & { readonly kind: Kind, readonly body: Bodies[Kind] } }[FrameKind]
export type FrameOf<Kind extends FrameKind> = Extract<Frame, { kind: Kind }>

/** Why a frame is dropped. */
export type FrameFault = 'foreign' | 'malformed' | 'too-large' | 'other-version'

const checkEnvelope = TypeCompiler.Compile(EnvelopeSchema)
const checks = Object.fromEntries(Object.entries(bodies).map(([kind, schema]) => [kind, TypeCompiler.Compile<TSchema>(schema)]))

/**
 * Encodes a frame.
 * @param body the body as JSON
 */
export function encodeFrame ({ from, inbox, term, seq }: Envelope, kind: FrameKind, body: string): string {
  return `{"v":${FRAME_VERSION},"from":"${from}","inbox":${JSON.stringify(inbox)},"term":${term},"seq":${seq},"kind":"${kind}","body":${body}}`
}

/**
 * Decodes a frame, or says why it can't be used.
 * @param isToAll whether it was published to all instances
 */
export function decodeFrame (content: Buffer, isToAll: boolean): Frame | FrameFault {
  if (content.length > MAX_MESSAGE_BYTES) return 'too-large'
  let frame: unknown
  try {
    frame = JSON.parse(content.toString())
  } catch {
    return 'malformed'
  }
  if (typeof frame !== 'object' || frame === null) return 'malformed'
  const { v, kind, body } = frame as { v?: unknown, kind?: unknown, body?: unknown }
  if (v !== FRAME_VERSION) return Number.isInteger(v) ? 'other-version' : 'malformed'
  if (!checkEnvelope.Check(frame) || typeof kind !== 'string' || !Object.hasOwn(checks, kind)) return 'malformed'
  if (TO_ALL.has(kind) !== isToAll && !EITHER_WAY.has(kind)) return 'malformed'
  if (!checks[kind]!.Check(body) || ((kind === 'disconnect' || kind === 'signout') && !canClose(body as Disconnect))) return 'malformed'
  return frame as unknown as Frame
}

function canClose ({ code, reason }: Disconnect): boolean {
  return isSendableCloseCode(code) && Buffer.byteLength(reason) <= MAX_REASON_BYTES
}
