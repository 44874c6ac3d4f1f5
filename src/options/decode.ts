// The option `decode`: what it is given, and what it returns.

/** The properties of an AMQP message (AMQP 0-9-1 §1.8.3). A property that the publisher did not set is undefined. */
export interface MessageProperties {
  readonly contentType: string | undefined
  readonly contentEncoding: string | undefined
  readonly deliveryMode: number | undefined
  readonly priority: number | undefined
  readonly correlationId: string | undefined
  readonly replyTo: string | undefined
  readonly expiration: string | undefined
  readonly messageId: string | undefined
  /** In seconds since 1970; some publishers set milliseconds. */
  readonly timestamp: number | undefined
  readonly type: string | undefined
  readonly userId: string | undefined
  readonly appId: string | undefined
}

/** A message of a queue, as `decode` is given it. */
export interface ReceivedMessage {
  /** At most `limits.messageBytes`. */
  readonly body: Buffer
  /**
   * The body as JSON. It is parsed once.
   * @throws FST_NOTIFICATION_UNDECODABLE if the body is empty, not UTF-8, or not JSON
   */
  readonly json: () => unknown
  /** Empty if the message has none. */
  readonly headers: Readonly<Record<string, unknown>>
  readonly properties: MessageProperties
  /** The exchange that the message was published to; empty for the default exchange. */
  readonly exchange: string
  readonly routingKey: string
  /** The queue that has delivered the message. */
  readonly queue: string
  /** Whether the queue has delivered the message before. */
  readonly redelivered: boolean
}

/** A user id: 1 to 255 bytes of UTF-8 without control characters, or a safe integer, which is the same as its digits. */
export type UserId = string | number

/** `null` is the same as not given. */
type NotGiven = null | undefined

/** For one user. */
export interface ToUser {
  readonly userId: UserId
  readonly userIds?: NotGiven
  readonly group?: NotGiven
  readonly everybody?: false | NotGiven
  readonly except?: NotGiven
}

/** For several users. What is not delivered follows the option `offline`, for each of them. */
export interface ToUsers {
  /** 1 to 1,000 users. One that is named twice counts once. */
  readonly userIds: readonly UserId[]
  readonly userId?: NotGiven
  readonly group?: NotGiven
  readonly everybody?: false | NotGiven
  readonly except?: NotGiven
}

/** For the members of a group who are connected now. */
export interface ToGroup {
  /** The name of the group: 1 to 255 bytes of UTF-8 without control characters. */
  readonly group: string
  /** Up to 1,000 users who don't get it. */
  readonly except?: readonly UserId[] | NotGiven
  readonly userId?: NotGiven
  readonly userIds?: NotGiven
  readonly everybody?: false | NotGiven
}

/** For everybody who is connected now. */
export interface ToEverybody {
  readonly everybody: true
  /** Up to 1,000 users who don't get it. */
  readonly except?: readonly UserId[] | NotGiven
  readonly userId?: NotGiven
  readonly userIds?: NotGiven
  readonly group?: NotGiven
}

/** Whom a message is for: exactly one of `userId`, `userIds`, `group` and `everybody`. */
export type Recipient = ToUser | ToUsers | ToGroup | ToEverybody

/** What `decode` returns: whom it is for, and what they get. */
export type DecodedMessage = Recipient & {
  /**
   * A string, any value with a JSON form, or a Buffer, which is passed on untouched. An object or an array of `json()` that
   * is not changed reaches the client as it was written.
   */
  readonly content: unknown
  /** @default the property `messageId`, if it can be an id; else a fresh UUID */
  readonly id?: string | null | undefined
}

/**
 * Decodes a message into a notification. What it throws dead-letters the message.
 * @returns undefined if the message is not for a user: then it is acked, and counted as `ignored`
 */
export type Decode = (message: ReceivedMessage) => DecodedMessage | undefined | Promise<DecodedMessage | undefined>
