import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { broadcastFromPeer } from './broadcast.js'
import { createBroker } from './rabbitmq/broker.js'
import { createCallOrigin } from './rabbitmq/call-origin.js'
import type { Publisher } from './rabbitmq/publisher.js'
import { createCluster, type Cluster } from './cluster/index.js'
import type { Connection } from './websocket/connection.js'
import { combineObservers } from './observability/observers.js'
import { closeCodes } from './close-codes.js'
import { createHealth } from './observability/health.js'
import { createHoldStore, type HoldHooks } from './hold/index.js'
import { createJournal } from './observability/journal.js'
import { createMetrics } from './observability/metrics/index.js'
import { createNotifier } from './create-notifier.js'
import { Lifecycle } from './lifecycle.js'
import { hasBroker, type BrokerOptions, type NotificationPluginOptions } from './options/schema.js'
import { parseOptions } from './options/parse.js'
import { createPendingDecisions } from './websocket/pending-decisions.js'
import { Dispatcher } from './delivery/dispatcher.js'
import { Registry } from './delivery/registry.js'
import { addRoute } from './websocket/route.js'
import { createSafeLog } from './safe-log.js'
import { assertScope } from './websocket/scope.js'
import { registerWebSocket } from './websocket/server.js'
import { Sockets } from './websocket/sockets.js'
import { createStats } from './observability/stats.js'
import { loadTracing } from './observability/tracing.js'
import { Upgrades } from './websocket/upgrades.js'

async function notification (app: FastifyInstance, input: NotificationPluginOptions): Promise<void> {
  const options = parseOptions(input)
  const log = createSafeLog(app.log)
  assertScope(app)

  const gate = await registerWebSocket(app, options)
  const metrics = options.metrics && await createMetrics(options.metrics, log)
  const upgrades = new Upgrades(app, { options, gate, refused: metrics?.refused })
  const decisions = createPendingDecisions(options.limits, log)
  const stats = createStats()
  const registry = new Registry<Connection>()
  const journal = options.journal > 0 ? createJournal(options.journal) : undefined
  const tracing = options.tracing ? await loadTracing(options, log) : undefined
  const dropped: HoldHooks['dropped'] = (reason, count, userId, ids) => {
    stats.drop(reason, count)
    journal?.dropped(reason, count, userId, ids)
  }
  const store = options.offline === 'hold' ? await createHoldStore(options.hold, { dropped }) : undefined
  const observer = combineObservers([stats, metrics?.times, journal, tracing].flatMap(part => part?.observer ?? []), log)
  const dispatcher = new Dispatcher({
    options,
    subscribers: registry,
    store,
    observer,
    log,
    overdue: connection => sockets.close(connection as Connection, closeCodes.ackTimeout, 'not acknowledged in time')
  })
  /** The cluster is made with the publisher, inside `createBroker`. */
  const side: { cluster?: Cluster } = {}
  const broker = hasBroker(options)
    ? createBroker({
      options,
      abandoned: stats.abandoned,
      observer,
      dispatcher,
      log,
      extend: options.cluster ? publisher => (side.cluster = createPeers(options, publisher)) : undefined
    })
    : undefined
  const { cluster } = side
  if (cluster !== undefined) dispatcher.connect(cluster.peers)
  const origin = createCallOrigin(broker?.deadLetters)
  const sockets: Sockets = new Sockets({
    options,
    registry,
    server: app.websocketServer,
    log,
    hooks: {
      opening: cluster?.opening,
      left: cluster?.left,
      opened: connection => dispatcher.joined(connection),
      ended: connection => dispatcher.left(connection),
      tick: () => dispatcher.tick(),
      connected: metrics?.connected,
      closed: metrics?.closed,
      recorded: journal?.connection
    }
  })
  const lifecycle = new Lifecycle({ app, options, decisions, dispatcher, broker, sockets, upgrades, store, tracing, metrics, log })
  const health = createHealth({ prefetch: options.prefetch, broker, cluster, store, closing: lifecycle.closing })

  app.addHook('onReady', async () => await lifecycle.start())
  // `preClose` begins the shutdown while the server still listens. Fastify has a time limit for that hook, so only
  // `onClose`, which has none, waits for the end. Between the two, the server waits for its sockets to close.
  app.addHook('preClose', async () => lifecycle.beginToClose())
  app.addHook('onClose', async () => await lifecycle.close())

  function createPeers (options: BrokerOptions, publisher: Publisher): Cluster {
    return createCluster({
      options,
      registry,
      publisher,
      unsent: stats.countUnsent,
      log,
      listener: dispatcher.peerListener,
      traceOf: origin => tracing?.inject(origin),
      broadcast: payload => broadcastFromPeer(registry.users.keys(), payload, dispatcher, origin, log),
      closeConnections: (userId, code, reason) => { sockets.disconnect(userId, code, reason) },
      times: metrics?.times
    })
  }

  // After the hooks: if one of these throws, `close()` still releases everything that is open.
  app.decorate('notifier', createNotifier({ registry, dispatcher, origin, sockets, cluster, health, stats: stats.snapshot, journal }))
  addRoute(app, { options, sockets, acknowledged: (connection, ids) => dispatcher.acknowledged(connection, ids), upgrades, decisions, refused: metrics?.refused })
  metrics?.register({ options, registry, sockets, broker, cluster, store, health, stats: stats.snapshot })
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
export const notificationPlugin = fp(notification, { fastify: '5.x', name: 'fastify-notification' })
export default notificationPlugin

export { closeCodes } from './close-codes.js'
export type { Health, HealthState } from './observability/health.js'
export type { AllowedOrigins, Authenticate, Identity, MetricsRegistry, RedisClient, UpgradeContext } from './options/values.js'
export type { TraceEntry, TraceFilter } from './observability/journal.js'
export type { Message } from './rabbitmq/message.js'
export type { Notifier, NotifyManyResult, NotifyResult } from './notifier.js'
export type { NotificationPluginOptions } from './options/schema.js'
export type { DeadLetterReason, Outcome } from './delivery/doors.js'
export type { StatsSnapshot } from './observability/stats.js'
