import { Type } from '@sinclair/typebox'
import { HoldOptions, RelayOptions } from './groups.js'
import { milliseconds } from './types.js'

/** The options about the delivery of notifications. */
export const deliveryOptions = {
  /**
   * What happens to a notification for a user with no connection. `'drop'` counts it. `'dead-letter'` puts it into the
   * dead-letter queue. `'hold'` keeps it until the user connects.
   * @default 'drop'
   */
  offline: Type.Union([Type.Literal('drop'), Type.Literal('dead-letter'), Type.Literal('hold')], {
    default: 'drop',
    allowed: "'drop', 'dead-letter' or 'hold'"
  }),

  /** With `offline: 'hold'`: where notifications are kept, and how many. If there are more, the oldest are dropped. */
  hold: HoldOptions,

  /**
   * When a notification is settled. `'sent'`: when it was handed to a socket. `'acknowledged'`: when a client that
   * speaks `notification.v1` has acknowledged it. A plain client can't acknowledge, so a successful send settles it.
   * @default 'sent'
   */
  settle: Type.Union([Type.Literal('sent'), Type.Literal('acknowledged')], {
    default: 'sent',
    allowed: "'sent' or 'acknowledged'"
  }),

  /**
   * With `settle: 'acknowledged'`: how long a client may take to acknowledge a notification, in milliseconds. After
   * that, its connection is closed with 4002. The notification follows `offline`, whichever connections had it.
   * @default 30000
   */
  ackTimeout: milliseconds(100, 600_000, 30_000), // well below the 30 minutes after which RabbitMQ closes the channel

  /**
   * With `settle: 'acknowledged'`: maximum number of unacknowledged notifications of a connection. More of them wait. A
   * quarter of `prefetch` may wait for one user's clients: see docs/delivery.md.
   * @default 100
   */
  maxUnacked: Type.Integer({ minimum: 1, maximum: 10_000, default: 100, allowed: 'a whole number from 1 to 10000' }),

  /**
   * With `settle: 'acknowledged'`: how often a notification is handed out that clients say they could not handle (`nack`).
   * After that it is put into the dead-letter queue.
   * @default 5
   */
  maxDeliveries: Type.Integer({ minimum: 1, maximum: 1_000, default: 5, allowed: 'a whole number from 1 to 1000' }),

  /**
   * Whether the other connections of a user are told when one of them has acknowledged a notification.
   * @default false
   */
  dismiss: Type.Boolean({ default: false, allowed: 'true or false' }),

  /**
   * Whether several instances share the queue. Then each instance also delivers to its own users the notifications that
   * another instance has received.
   * @default false
   */
  cluster: Type.Boolean({ default: false, allowed: 'true or false' }),

  /** With `cluster: true`: how the instances reach each other. */
  relay: RelayOptions
}
