import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Broker } from './rabbitmq/broker.js'
import { createCallOrigin } from './rabbitmq/call-origin.js'
import type { Publisher } from './rabbitmq/publisher.js'
import { Cluster } from './cluster/index.js'
import type { Connection } from './websocket/connection.js'
import { combineObservers } from './observability/observers.js'
import { closeCodes } from './close-codes.js'
import { HealthCheck } from './observability/health.js'
import { MemoryDismissals } from './hold/dismissals.js'
import { createHoldStore, type HoldHooks } from './hold/index.js'
import { Journal } from './observability/journal.js'
import { createMetrics } from './observability/metrics/index.js'
import { createNotifier } from './create-notifier.js'
import { Lifecycle } from './lifecycle.js'
import { hasBroker, isUnprotected, type BrokerOptions, type NotificationPluginOptions } from './options/schema.js'
import { parseOptions } from './options/parse.js'
import { PendingDecisions } from './websocket/pending-decisions.js'
import { replayDismissals } from './delivery/replay-dismissals.js'
import { Dispatcher } from './delivery/dispatcher.js'
import { FanOut } from './delivery/fan-out.js'
import { Groups } from './delivery/groups.js'
import { Registry } from './delivery/registry.js'
import { changeGroup } from './websocket/memberships.js'
import { addRoute } from './websocket/route.js'
import { createSafeLog } from './safe-log.js'
import { assertScope } from './websocket/scope.js'
import { registerWebSocket } from './websocket/server.js'
import { Sockets } from './websocket/sockets.js'
import { Stats } from './observability/stats.js'
import { loadTracing } from './observability/tracing.js'
import { Upgrades } from './websocket/upgrades.js'
import { Waits } from './observability/waits.js'

async function notification (app: FastifyInstance, input: NotificationPluginOptions): Promise<void> {
  const options = parseOptions(input)
  const log = createSafeLog(app.log)
  assertScope(app)

  const gate = await registerWebSocket(app, options)
  const metrics = options.metrics && await createMetrics(options.metrics, log)
  const upgrades = new Upgrades(app, { options, gate, refused: metrics?.refused })
  const decisions = new PendingDecisions(options.limits, log)
  const stats = new Stats()
  const registry = new Registry<Connection>()
  const groups = new Groups<Connection>()
  const journal = options.journal > 0 ? new Journal(options.journal) : undefined
  const tracing = options.tracing ? await loadTracing(options, log) : undefined
  const dropped: HoldHooks['dropped'] = (reason, count, userId, ids) => {
    stats.countDropped(reason, count)
    if (reason === 'broken') log.error({ userId, count }, 'hold has broken records, which are removed')
    journal?.dropped(reason, count, userId, ids)
  }
  /** What is made later than what needs it: the cluster with the publisher, inside the broker. */
  const made: { cluster?: Cluster, healthCheck?: HealthCheck } = {}
  const changed = () => made.healthCheck?.update()
  const store = options.offline === 'hold' ? await createHoldStore(options.hold, { dropped, changed, log }) : undefined
  const dismissals = options.dismiss ? store?.dismissals ?? new MemoryDismissals(options.hold.maxAge) : undefined
  const observer = combineObservers([stats, metrics?.times, journal, tracing].filter(observer => observer !== undefined), log)
  const origin = createCallOrigin(() => broker?.deadLetters)
  const dispatcher = new Dispatcher({
    options,
    subscribers: registry,
    windowSize: hasBroker(options) ? { count: options.prefetch, bytes: options.limits.unsettledBytes } : undefined,
    store,
    dismissals,
    observer,
    ownOrigin: origin,
    log,
    overdue: connection => sockets.close(connection as Connection, closeCodes.ackTimeout, 'not acknowledged in time')
  })
  const fanOut = new FanOut({ dispatcher, everybody: registry, groups, observer })
  const broker = hasBroker(options)
    ? new Broker({
      options,
      abandoned: () => stats.countAbandoned(),
      changed,
      observer,
      dispatcher,
      fanOut,
      log,
      extend: options.cluster ? publisher => (made.cluster = createPeers(options, publisher)) : undefined
    })
    : undefined
  const { cluster } = made
  if (cluster !== undefined) dispatcher.connect(cluster.peers)
  fanOut.peers = cluster?.multicasts
  const sockets: Sockets = new Sockets({
    options,
    registry,
    groups,
    server: app.websocketServer,
    log,
    hooks: {
      opening: cluster && (userId => cluster.opening(userId)),
      left: cluster && (userId => cluster.left(userId)),
      groupOpening: cluster && (group => cluster.groupOpening(group)),
      groupLeft: cluster && (group => cluster.groupLeft(group)),
      opened (connection) {
        if (dismissals !== undefined) void replayDismissals(dismissals, connection)
        dispatcher.joined(connection)
      },
      leftGroup: userId => dispatcher.leftGroup(userId),
      ended: connection => dispatcher.left(connection),
      connected: metrics?.connected,
      closed: metrics?.closed,
      recorded: journal && ((connection, event, code) => journal.connection(connection, event, code))
    }
  })
  const lifecycle = new Lifecycle({ app, options, decisions, dispatcher, broker, sockets, upgrades, store, tracing, metrics, changed, log })
  const waits = new Waits(dispatcher, fanOut, broker)
  const healthCheck = made.healthCheck = new HealthCheck({ prefetch: options.prefetch, unprotected: isUnprotected(options), waits, broker, cluster, store, closing: lifecycle.closing })
  const health = () => healthCheck.report()
  const snapshot = () => stats.snapshot()

  app.addHook('onReady', async () => await lifecycle.start())
  // `preClose` begins the shutdown while the server still listens. Fastify has a time limit for that hook, so only
  // `onClose`, which has none, waits for the end. Between the two, the server waits for its sockets to close.
  app.addHook('preClose', async () => lifecycle.beginToClose())
  app.addHook('onClose', async () => await lifecycle.close())

  function createPeers (options: BrokerOptions, publisher: Publisher): Cluster {
    return new Cluster({
      options,
      publisher,
      changed,
      unsent: reason => stats.countUnsent(reason),
      log,
      listener: dispatcher.peerListener,
      traceOf: origin => tracing?.inject(origin),
      broadcast: (payload, except) => { void fanOut.deliverForPeer({ group: undefined, except: new Set(except) }, payload, false) },
      multicast: (audience, payload, redelivered) => fanOut.deliverForPeer(audience, payload, redelivered),
      changeGroup: membership => changeGroup(sockets, membership, log),
      closeConnections: (userId, disconnect) => { sockets.disconnect(userId, disconnect) },
      times: metrics?.times
    })
  }

  // After the hooks: if one of these throws, `close()` still releases everything that is open.
  app.decorate('notifier', createNotifier({ registry, dispatcher, fanOut, origin, sockets, cluster, health, stats: snapshot, journal, waits }))
  addRoute(app, { options, sockets, acknowledged: (connection, ids) => dispatcher.acknowledged(connection, ids), rejected: (connection, ids) => dispatcher.rejections.reject(connection, ids), upgrades, decisions, refused: metrics?.refused })
  metrics?.register({ options, registry, sockets, broker, cluster, store, waits, health: () => healthCheck.summary(), stats: snapshot })
}

/**
 * Pushes RabbitMQ messages to the WebSockets of the users they are addressed to.
 *
 * ```ts
 * await app.register(notificationPlugin, { amqpUrl: 'amqp://localhost', queue: 'hello' })
 * ```
 *
 * @throws FST_NOTIFICATION_INVALID_OPTION from `register`; FST_NOTIFICATION_BROKER_UNREACHABLE,
 *   FST_NOTIFICATION_BROKER_REFUSED and FST_NOTIFICATION_UNUSABLE_QUEUE from `ready()` and `listen()`
 */
export const notificationPlugin = fp(notification, { fastify: '^5.12.1', name: 'fastify-notification' })
export default notificationPlugin

export { closeCodes } from './close-codes.js'
export type { Health, HealthState } from './observability/health.js'
export type { AmqpCredentials, AmqpLogin, AmqpTls } from './options/amqp.js'
export type { AllowedOrigins, Authenticate, Identity, MetricsRegistry, RedisClient, UpgradeContext } from './options/values.js'
export type { TraceEntry, TraceFilter } from './observability/journal.js'
export { decodeJson } from './rabbitmq/decode-json.js'
export type { Decode, DecodedMessage, MessageProperties, ReceivedMessage, Recipient, ToEverybody, ToGroup, ToUser, ToUsers, UserId } from './options/decode.js'
export type { Message } from './rabbitmq/fields.js'
export type { Binding, BoundQueue, QueueOption } from './options/queues.js'
export type { DisconnectOptions, ManyOptions, Notifier, NotifyManyResult, NotifyResult } from './notifier.js'
export type { NotificationPluginOptions } from './options/schema.js'
export type { DeadLetterReason, Outcome } from './delivery/doors.js'
export type { WaitCause } from './delivery/waiting.js'
export type { StatsSnapshot } from './observability/stats.js'
