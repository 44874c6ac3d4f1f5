import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { createBroker, type Broker } from './rabbitmq/broker.js'
import { createCallOrigin } from './rabbitmq/call-origin.js'
import type { Publisher } from './rabbitmq/publisher.js'
import { createCluster, type Cluster } from './cluster/index.js'
import type { Connection } from './websocket/connection.js'
import { combineObservers } from './observability/observers.js'
import { closeCodes } from './close-codes.js'
import { createHealth } from './observability/health.js'
import { createHoldStore, type HoldHooks, type HoldStore } from './hold/index.js'
import { giveBack } from './rabbitmq/give-back.js'
import { createJournal } from './observability/journal.js'
import { createMetrics } from './observability/metrics/index.js'
import { createNotifier } from './notifier.js'
import { hasBroker, type BrokerOptions, type NotificationPluginOptions } from './options/schema.js'
import { patternsWithoutMatch } from './websocket/origin-pattern.js'
import { parseOptions } from './options/parse.js'
import { createPendingDecisions } from './websocket/pending-decisions.js'
import { Dispatcher } from './delivery/dispatcher.js'
import type { Payload } from './delivery/payload.js'
import { Registry } from './delivery/registry.js'
import { addRoute } from './websocket/route.js'
import { createSafeLog } from './safe-log.js'
import { assertScope } from './websocket/scope.js'
import { registerWebSocket } from './websocket/server.js'
import { Sockets } from './websocket/sockets.js'
import { createStats } from './observability/stats.js'
import { Teardown } from './teardown.js'
import { loadTracing } from './observability/tracing.js'
import { Upgrades } from './websocket/upgrades.js'
import { withTimeout } from './with-timeout.js'

/** How often what has expired is looked for in the hold, in milliseconds. */
const SWEEP_INTERVAL = 1_000

async function notification (app: FastifyInstance, input: NotificationPluginOptions): Promise<void> {
  const options = parseOptions(input)
  const log = createSafeLog(app.log)
  assertScope(app)

  const gate = await registerWebSocket(app, options)
  const metrics = options.metrics && await createMetrics(options.metrics, log)
  const upgrades = new Upgrades(app, { options, gate, refused: metrics?.refused })
  const decisions = createPendingDecisions(options.limits, log)
  let sweeping: NodeJS.Timeout | undefined
  const closing: { since?: Date, done?: Date } = {}
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
  const health = createHealth({ prefetch: options.prefetch, broker, cluster, store, closing })

  app.addHook('onReady', async () => {
    if (options.authenticate === undefined) log.warn('no authenticate option: any client can read the notifications of any user')
    for (const { pattern, why } of patternsWithoutMatch(options.allowedOrigins)) {
      log.warn({ pattern, why, option: 'allowedOrigins' }, 'no origin can match a pattern: an origin is like https://example.com or http://localhost:8080')
    }
    const { maxPayload = 0 } = app.websocketServer.options
    if (maxPayload > options.limits.frameBytes) {
      log.warn({ maxPayload, frameBytes: options.limits.frameBytes }, '@fastify/websocket takes larger frames than limits.frameBytes: set its maxPayload')
    }
    if (store?.size !== undefined) log.warn('offline is \'hold\' without hold.redis: what is held is in memory, and lost in a crash')
    if (broker !== undefined) await start(broker)
    if (store?.size !== undefined) sweeping = setInterval(store.sweep, SWEEP_INTERVAL)
  })

  async function start (broker: Broker): Promise<void> {
    // Fastify gives up on a hook after its own time limit, with an error that says nothing of the broker.
    const { pluginTimeout = 0 } = app.initialConfig
    const timeout = pluginTimeout > 0 ? pluginTimeout * 0.9 : 60_000
    try {
      await broker.start(timeout)
    } catch (error) {
      await broker.close(0).catch((err: unknown) => log.error({ err }, 'broker not closed'))
      throw error
    }
  }

  function createPeers (options: BrokerOptions, publisher: Publisher): Cluster {
    return createCluster({
      options,
      registry,
      publisher,
      unsent: stats.countUnsent,
      log,
      listener: dispatcher.peerListener,
      traceOf: origin => tracing?.inject(origin),
      broadcast: broadcastHere,
      closeConnections: (userId, code, reason) => { sockets.disconnect(userId, code, reason) },
      times: metrics?.times
    })
  }

  /** A peer sends something to everybody. */
  function broadcastHere (payload: Payload): void {
    for (const userId of [...registry.users.keys()]) {
      Promise.resolve(dispatcher.deliver({ userId, payload }, origin, true))
        .catch((err: unknown) => log.debug({ err, userId }, 'broadcast not delivered'))
    }
  }

  let closed: Promise<void> | undefined
  async function shutDown (): Promise<void> {
    closing.since = new Date()
    const deadline = performance.now() + options.drainTimeout
    const timeLeft = () => Math.max(0, deadline - performance.now())
    const teardown = new Teardown(log)
    // Whoever waits for a decision is answered while its socket is still open.
    await teardown.try(() => decisions.close())
    // What can't be settled must not use up the time in which clients are told to come back.
    dispatcher.drain()
    await teardown.try(() => broker?.drain(timeLeft() / 2))
    // What is held in memory has to be published after it.
    await teardown.try(() => sockets.closeAll((store?.size ?? 0) > 0 ? timeLeft() / 2 : timeLeft()))
    await teardown.try(() => upgrades.close())
    if (store !== undefined) await teardown.try(() => closeHold(store, timeLeft))
    await teardown.try(() => broker?.close(timeLeft()))
    await teardown.try(() => tracing?.close())
    closing.done = new Date()
    teardown.end()
  }

  /** What is in memory goes back to the queue, from which the next process has it. */
  async function closeHold (store: HoldStore, timeLeft: () => number): Promise<void> {
    const teardown = new Teardown(log)
    clearInterval(sweeping)
    await teardown.try(() => withTimeout(timeLeft(), dispatcher.close()))
    await teardown.try(() => giveBack(store, broker, timeLeft(), log))
    await teardown.try(() => store.close())
    teardown.end()
  }

  // Begun while the server still listens, awaited where Fastify sets no time limit. In between the server waits for
  // its sockets to end.
  app.addHook('preClose', async () => {
    closed ??= shutDown()
    closed.catch(() => {}) // onClose throws it
  })
  app.addHook('onClose', async () => {
    const teardown = new Teardown(log)
    await teardown.try(() => (closed ??= shutDown()))
    await teardown.try(() => metrics?.remove())
    teardown.end()
  })

  // After the hooks: where one of these throws, close() lets go of what is open by now.
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
