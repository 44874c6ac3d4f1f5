/** A metric in the application's registry. */
export interface MetricDefinition {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** Each label has few values. Users and clients can't choose them. */
  readonly labels: readonly string[]
  readonly help: string
  /** Upper bounds of the buckets, in seconds. */
  readonly buckets?: readonly number[]
}

/** From the time that a socket needs to the time that a client needs to acknowledge. */
const DELIVERY_BUCKETS = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
/** Up to the age of a message that waited in the queue overnight. AMQP's own timestamp has whole seconds. */
const AGE_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600, 43_200]
const RELAY_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** All metrics. Checks compare docs/operation.md, and the example's dashboard and alert rules, with this table. */
export const metricTable = {
  messages: {
    name: 'fastify_notification_messages_total',
    type: 'counter',
    labels: ['outcome', 'reason'],
    help: 'Notifications by outcome, those of notify() too; what was held is counted again when it is acknowledged or sent'
  },
  relayed: {
    name: 'fastify_notification_relayed_total',
    type: 'counter',
    labels: [],
    help: 'Of those, how many had their outcome from another instance'
  },
  released: {
    name: 'fastify_notification_released_total',
    type: 'counter',
    labels: [],
    help: 'Notifications that were held, and were acknowledged or sent later'
  },
  dropped: {
    name: 'fastify_notification_dropped_total',
    type: 'counter',
    labels: ['reason'],
    help: 'Notifications that the hold dropped unseen'
  },
  unsent: {
    name: 'fastify_notification_unsent_total',
    type: 'counter',
    labels: ['reason'],
    help: 'Broadcasts, disconnects and wakes that other instances were not told of, as the broker took no publishes'
  },
  abandoned: {
    name: 'fastify_notification_abandoned_total',
    type: 'counter',
    labels: [],
    help: 'Outcomes that were known only after the channel to the broker had died: those messages come again'
  },
  sinceConsumption: {
    name: 'fastify_notification_delivery_since_consumption_seconds',
    type: 'histogram',
    labels: ['queue', 'outcome'],
    help: 'From the consumption of a message to its outcome',
    buckets: DELIVERY_BUCKETS
  },
  sincePublish: {
    name: 'fastify_notification_delivery_since_publish_seconds',
    type: 'histogram',
    labels: ['queue', 'outcome'],
    help: 'From the AMQP timestamp of a message, if it has one, to its outcome',
    buckets: AGE_BUCKETS
  },
  unsettled: {
    name: 'fastify_notification_unsettled',
    type: 'gauge',
    labels: ['queue'],
    help: 'Messages whose outcome is not known yet'
  },
  prefetch: {
    name: 'fastify_notification_prefetch',
    type: 'gauge',
    labels: ['queue'],
    help: 'How many messages may be unsettled'
  },
  highestDeliveryCount: {
    name: 'fastify_notification_highest_returns',
    type: 'gauge',
    labels: ['queue'],
    help: 'The highest number of returns to the queue among the unsettled messages'
  },
  deliveryLimit: {
    name: 'fastify_notification_delivery_limit',
    type: 'gauge',
    labels: ['queue'],
    help: 'How often a message may be returned before the broker drops it, where there is a limit'
  },
  consuming: {
    name: 'fastify_notification_consuming',
    type: 'gauge',
    labels: ['queue'],
    help: '1 while the queue is consumed, else 0'
  },
  reconnects: {
    name: 'fastify_notification_reconnects_total',
    type: 'counter',
    labels: ['purpose', 'queue'],
    help: 'How often a connection to the broker, or its channel, was opened again'
  },
  state: {
    name: 'fastify_notification_state',
    type: 'gauge',
    labels: ['state'],
    help: '1 for the state that health() tells, 0 for the others'
  },
  ready: {
    name: 'fastify_notification_ready',
    type: 'gauge',
    labels: [],
    help: '1 while health() says ready, else 0'
  },
  connections: {
    name: 'fastify_notification_connections',
    type: 'gauge',
    labels: [],
    help: 'WebSockets that have not ended yet, those that are closing too'
  },
  connectionsLimit: {
    name: 'fastify_notification_connections_limit',
    type: 'gauge',
    labels: [],
    help: 'How many there may be: limits.connections'
  },
  users: {
    name: 'fastify_notification_users',
    type: 'gauge',
    labels: [],
    help: 'Users who have a connection'
  },
  connects: {
    name: 'fastify_notification_connects_total',
    type: 'counter',
    labels: [],
    help: 'WebSockets that were opened, or registered'
  },
  closes: {
    name: 'fastify_notification_closes_total',
    type: 'counter',
    labels: ['code'],
    help: 'WebSockets that have ended, by close code: the one that was sent, else the one that came; released by unregister()'
  },
  refused: {
    name: 'fastify_notification_refused_total',
    type: 'counter',
    labels: ['status', 'reason'],
    help: 'Upgrades that were refused, by the HTTP status of the answer, and why'
  },
  bufferedBytes: {
    name: 'fastify_notification_buffered_bytes',
    type: 'gauge',
    labels: [],
    help: 'Bytes that wait for clients to read them'
  },
  held: {
    name: 'fastify_notification_held',
    type: 'gauge',
    labels: [],
    help: 'Notifications that are held in memory'
  },
  holdFailing: {
    name: 'fastify_notification_hold_failing',
    type: 'gauge',
    labels: [],
    help: '1 while the hold cannot be reached, else 0'
  },
  bindings: {
    name: 'fastify_notification_bindings',
    type: 'gauge',
    labels: [],
    help: 'Users whom other instances reach here'
  },
  relayConfirm: {
    name: 'fastify_notification_relay_confirm_seconds',
    type: 'histogram',
    labels: ['result'],
    help: 'From the publish to the other instances to the confirm of the broker: routed to some, or returned',
    buckets: RELAY_BUCKETS
  },
  relayReceipt: {
    name: 'fastify_notification_relay_receipt_seconds',
    type: 'histogram',
    labels: ['receipt'],
    help: 'From the publish to the other instances to what one of them tells: taken, nobody, or an outcome',
    buckets: RELAY_BUCKETS
  }
} as const satisfies Record<string, MetricDefinition>

export type MetricName = keyof typeof metricTable
