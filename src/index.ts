import websocket from '@fastify/websocket'
import type { ConsumeMessage } from 'amqplib'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { closeCodes } from './close-codes.js'
import { createConsumer } from './consumer.js'
import { createDeadLetters } from './dead-letters.js'
import { createHealth } from './health.js'
import { createHoldStore, type HoldStore } from './hold/index.js'
import { giveBack } from './hold/give-back.js'
import { decode, InvalidMessage } from './message.js'
import { createNotifier } from './notifier.js'
import { hasBroker, type BrokerOptions, type NotificationPluginOptions } from './options.js'
import { parseOptions } from './parse-options.js'
import { createPublisher } from './publisher.js'
import { createRegistry } from './registry.js'
import { addRoute } from './route.js'
import { createRouter } from './router.js'
import { createSockets, handleSocketError, serverOptions } from './sockets.js'
import { createStats } from './stats.js'
import { watchUpgrades } from './upgrades.js'
import { within } from './within.js'

/** How often what has expired is looked for in the hold, in milliseconds. */
const SWEEP_INTERVAL = 1_000

async function notification (app: FastifyInstance, input: NotificationPluginOptions): Promise<void> {
  const options = parseOptions(input)
  const { log } = app

  // There can be one in an application, and it may have WebSocket routes of its own.
  if (!app.hasPlugin('@fastify/websocket')) {
    await app.register(websocket, { errorHandler: handleSocketError, options: serverOptions(options) })
  }

  const endUpgrades = watchUpgrades(app, options.limits)
  let sweeping: NodeJS.Timeout | undefined
  const closing: { since?: Date, done?: Date } = {}
  const stats = createStats()
  const registry = createRegistry()
  const store = options.offline === 'hold' ? await createHoldStore(options.hold, { dropped: stats.drop }) : undefined
  const broker = hasBroker(options) ? createBroker(options) : undefined
  const router = createRouter({
    options,
    registry,
    deadLetters: broker?.deadLetters,
    store,
    stats,
    log,
    onOverdue: connection => sockets.close(connection, closeCodes.ackTimeout, 'not acknowledged in time')
  })
  const sockets = createSockets({ options, registry, server: app.websocketServer, log, hooks: router })
  const health = createHealth({ prefetch: options.prefetch, broker, store, closing })

  app.decorate('notifier', createNotifier({ registry, router, sockets, health, stats: stats.snapshot }))
  addRoute(app, { options, sockets, acknowledged: router.acknowledged })

  function createBroker (options: BrokerOptions) {
    const publisher = createPublisher(options, log)
    const deadLetters = createDeadLetters(options, publisher, log)
    const consumer = createConsumer({ options, stats, log, handle: receive })

    /** The one way in for what the queue delivers. */
    function receive (message: ConsumeMessage, gone: AbortSignal): unknown {
      const decoded = decode(message, options.limits.messageBytes)
      if (!(decoded instanceof InvalidMessage)) return router.route(decoded, { message, gone })
      const { reason, detail } = decoded
      return deadLetters.add(message, reason, detail, gone).then(() => stats.count('dead-lettered', reason))
    }

    return { queue: options.queue, publisher, deadLetters, consumer }
  }

  app.addHook('onReady', async () => {
    if (options.authenticate === undefined) log.warn('no authenticate option: any client can read the notifications of any user')
    const { maxPayload = 0 } = app.websocketServer.options
    if (maxPayload > options.limits.frameBytes) {
      log.warn({ maxPayload, frameBytes: options.limits.frameBytes }, '@fastify/websocket takes larger frames than limits.frameBytes: set its maxPayload')
    }
    if (store?.size !== undefined) {
      log.warn('offline is \'hold\' without hold.redis: what is held is in memory, and lost in a crash')
      sweeping = setInterval(store.sweep, SWEEP_INTERVAL)
    }
    if (broker === undefined) return
    // Fastify gives up on a hook after its own time limit, with an error that says nothing of the broker.
    const { pluginTimeout = 0 } = app.initialConfig
    const timeout = pluginTimeout > 0 ? pluginTimeout * 0.9 : 60_000
    try {
      await Promise.all([broker.publisher.connection.start(timeout), broker.consumer.connection.start(timeout)])
    } catch (error) {
      await closeBroker(0)
      throw error
    }
  })

  let closed: Promise<void> | undefined
  async function shutDown (): Promise<void> {
    closing.since = new Date()
    const deadline = Date.now() + options.drainTimeout
    const timeLeft = () => Math.max(0, deadline - Date.now())
    // What can't be settled must not use up the time in which clients are told to come back.
    router.drain()
    await broker?.consumer.drain(timeLeft() / 2)
    await sockets.closeAll(timeLeft())
    endUpgrades()
    if (store !== undefined) await closeHold(store, timeLeft)
    await closeBroker(timeLeft())
    closing.done = new Date()
  }

  /** What is in memory goes back to the queue, from which the next process has it. */
  async function closeHold (store: HoldStore, timeLeft: () => number): Promise<void> {
    clearInterval(sweeping)
    await within(timeLeft(), router.close())
    await giveBack(store, broker, timeLeft(), log)
    await store.close()
  }

  async function closeBroker (timeout: number): Promise<void> {
    await Promise.all([broker?.consumer.connection.close(timeout), broker?.publisher.connection.close(timeout)])
  }

  // Begun while the server still listens, awaited where Fastify sets no time limit. In between the server waits for
  // its sockets to end.
  app.addHook('preClose', async () => { closed ??= shutDown() })
  app.addHook('onClose', async () => { await (closed ??= shutDown()) })
}

/**
 * Pushes RabbitMQ messages to the WebSockets of the users they are addressed to.
 *
 * ```ts
 * await app.register(notificationPlugin, { amqpUrl: 'amqp://localhost', queue: 'hello' })
 * ```
 *
 * @throws FST_NOTIFICATION_INVALID_OPTION from `register`; FST_NOTIFICATION_BROKER_UNREACHABLE and
 *   FST_NOTIFICATION_BROKER_REFUSED from `ready()` and `listen()`
 */
export const notificationPlugin = fp(notification, { fastify: '5.x', name: 'fastify-notification' })
export default notificationPlugin

export { closeCodes } from './close-codes.js'
export type { DeadLetterReason } from './dead-letters.js'
export type { Health, HealthState } from './health.js'
export type { Authenticate, Identity } from './identity.js'
export type { Message } from './message.js'
export type { Notifier, NotifyManyResult, NotifyResult } from './notifier.js'
export type { NotificationPluginOptions } from './options.js'
export type { AllowedOrigins } from './origin.js'
export type { Outcome } from './delivery.js'
export type { RedisClient } from './hold/index.js'
export type { StatsSnapshot } from './stats.js'
