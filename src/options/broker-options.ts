import { Type } from '@sinclair/typebox'
import { MAX_DELIVERY_LIMIT, milliseconds } from './types.js'

/** The options about connecting, consuming and publishing. */
export const brokerOptions = {
  /**
   * Behaviour if the broker can't be reached at start. `'fail'` rejects `ready()` after a few tries. `'background'`
   * starts the application and keeps trying.
   * @default 'fail'
   */
  startup: Type.Union([Type.Literal('fail'), Type.Literal('background')], {
    default: 'fail',
    allowed: "'fail' or 'background'"
  }),

  /**
   * How often a message of the queues may be returned before the broker drops it. Set it if a policy of the broker sets
   * this limit, because no client can read policies. A message that comes close to the limit is moved to the
   * dead-letter queue.
   * @default the limit that the queue was declared with; without one, 20 on RabbitMQ 4 and later, no limit before
   */
  deliveryLimit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_DELIVERY_LIMIT, allowed: `a whole number from 1 to ${MAX_DELIVERY_LIMIT}` })),

  /**
   * How many messages may be unsettled at a time. RabbitMQ allows a quorum queue at most 2,000.
   * @default 1000
   */
  prefetch: Type.Integer({
    minimum: 1,
    maximum: 65_535, // AMQP 0-9-1 §1.7.2.1: a short unsigned integer
    default: 1_000, // below this, waiting for the broker's next batch costs more than the work itself
    allowed: 'a whole number from 1 to 65535'
  }),

  /**
   * How long connecting to the broker may take, in milliseconds.
   * @default 5000
   */
  connectTimeout: milliseconds(10, 60_000, 5_000),

  /**
   * How long the broker may take to confirm a publish, in milliseconds. If it has confirmed none for that long, the
   * publisher reconnects.
   * @default 10000
   */
  publishTimeout: milliseconds(10, 600_000, 10_000),

  /**
   * How long `app.close()` may take to settle what is in flight and to close the connections, in milliseconds.
   * @default 10000
   */
  drainTimeout: milliseconds(0, 600_000, 10_000)
}
