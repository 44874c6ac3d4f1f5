/** A metric in the application's registry. */
export interface MetricDefinition {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** Each label has few values. Users and clients can't choose them. */
  readonly labels: readonly string[]
  readonly help: string
  /** Upper bounds of the buckets: seconds, or a number of users. */
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
    help: 'Broadcasts, disconnects and changes of groups that other instances were not told of, as the broker took no publishes; and broadcasts, and messages for a group or for everybody, that were too large for them'
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
  recipients: {
    name: 'fastify_notification_recipients',
    type: 'histogram',
    labels: ['to'],
    help: 'How many users a message to many, or such a call, reached for: users, group or everybody',
    buckets: [1, 2, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000, 50_000]
  },
  unsettled: {
    name: 'fastify_notification_unsettled',
    type: 'gauge',
    labels: ['queue'],
    help: 'Messages whose outcome is not known yet'
  },
  waiting: {
    name: 'fastify_notification_waiting',
    type: 'gauge',
    labels: ['queue', 'cause'],
    help: 'What the unsettled messages wait for: how many for what'
  },
  unsettledBytes: {
    name: 'fastify_notification_unsettled_bytes',
    type: 'gauge',
    labels: [],
    help: 'Bytes of memory of these messages, of all queues; nothing is read from the queues while they are above limits.unsettledBytes'
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
  otherConsumers: {
    name: 'fastify_notification_other_consumers',
    type: 'gauge',
    labels: ['queue'],
    help: 'Other consumers of the queue, which take messages for users who may be connected here'
  },
  deadLettersFailing: {
    name: 'fastify_notification_dead_letters_failing',
    type: 'gauge',
    labels: [],
    help: '1 while messages wait because their dead letters cannot be published, else 0'
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
  unprotected: {
    name: 'fastify_notification_unprotected',
    type: 'gauge',
    labels: [],
    help: '1 if NODE_ENV is production and there is no option authenticate, not even false, else 0'
  },
  holdFailing: {
    name: 'fastify_notification_hold_failing',
    type: 'gauge',
    labels: [],
    help: '1 while the hold cannot be reached, else 0'
  },
  peers: {
    name: 'fastify_notification_peers',
    type: 'gauge',
    labels: [],
    help: 'Other instances that this one knows of'
  },
  peerUsers: {
    name: 'fastify_notification_peer_users',
    type: 'gauge',
    labels: [],
    help: 'Users who are connected to other instances'
  },
  announcements: {
    name: 'fastify_notification_announcements_total',
    type: 'counter',
    labels: [],
    help: 'Announcements to other instances of users who have connected or left; each is for many users'
  },
  framesDropped: {
    name: 'fastify_notification_frames_dropped_total',
    type: 'counter',
    labels: ['fault'],
    help: 'Messages on the exchange between the instances that were dropped, and why'
  },
  marker: {
    name: 'fastify_notification_marker_seconds',
    type: 'histogram',
    labels: [],
    help: 'From the publish of a marker to its return: so long an absent user waits to be called offline',
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
