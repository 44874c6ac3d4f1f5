import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Dispatcher } from './delivery/dispatcher.js'
import type { ManagedHoldStore } from './hold/index.js'
import type { Metrics } from './observability/metrics/index.js'
import type { Tracing } from './observability/tracing.js'
import type { Options } from './options/schema.js'
import type { Broker } from './rabbitmq/broker.js'
import { giveBack } from './rabbitmq/give-back.js'
import { Teardown } from './teardown.js'
import { patternsWithoutMatch } from './websocket/origin-pattern.js'
import type { PendingDecisions } from './websocket/pending-decisions.js'
import type { Sockets } from './websocket/sockets.js'
import type { Upgrades } from './websocket/upgrades.js'
import { withTimeout } from './with-timeout.js'

/** How often expired notifications are removed from a hold in memory, in milliseconds. */
const SWEEP_INTERVAL = 1_000

interface LifecycleParts {
  app: FastifyInstance
  options: Options
  decisions: PendingDecisions
  dispatcher: Dispatcher
  broker: Broker | undefined
  sockets: Sockets
  upgrades: Upgrades
  store: ManagedHoldStore | undefined
  tracing: Tracing | undefined
  metrics: Metrics | undefined
  log: FastifyBaseLogger
}

/** Starts everything when the application is ready, and closes everything when the application closes. */
export class Lifecycle {
  /** When the application began to close, and when it had closed. */
  readonly closing: { since?: Date, done?: Date } = {}
  readonly #parts: LifecycleParts
  #sweepTimer: NodeJS.Timeout | undefined
  #closed: Promise<void> | undefined

  constructor (parts: LifecycleParts) {
    this.#parts = parts
  }

  async start (): Promise<void> {
    const { broker, store, log } = this.#parts
    this.#warn()
    if (store?.size !== undefined) log.warn('offline is \'hold\' without hold.redis: what is held is in memory, and lost in a crash')
    if (broker !== undefined) await this.#startBroker(broker)
    if (store?.size !== undefined) this.#sweepTimer = setInterval(store.sweep, SWEEP_INTERVAL)
  }

  beginToClose (): void {
    this.#closed ??= this.#shutDown()
    this.#closed.catch(() => {}) // `close` throws it
  }

  async close (): Promise<void> {
    const { metrics, log } = this.#parts
    const teardown = new Teardown(log)
    await teardown.try(() => (this.#closed ??= this.#shutDown()))
    await teardown.try(() => metrics?.remove())
    teardown.end()
  }

  #warn (): void {
    const { app, options: { authenticate, allowedOrigins, limits }, log } = this.#parts
    if (authenticate === undefined) log.warn('no authenticate option: any client can read the notifications of any user')
    for (const { pattern, why } of patternsWithoutMatch(allowedOrigins)) {
      log.warn({ pattern, why, option: 'allowedOrigins' }, 'no origin can match a pattern: an origin is like https://example.com or http://localhost:8080')
    }
    const { maxPayload = 0 } = app.websocketServer.options
    if (maxPayload > limits.frameBytes) {
      log.warn({ maxPayload, frameBytes: limits.frameBytes }, '@fastify/websocket takes larger frames than limits.frameBytes: set its maxPayload')
    }
  }

  async #startBroker (broker: Broker): Promise<void> {
    const { app, log } = this.#parts
    // Fastify limits the time of a hook, and its timeout error does not mention the broker. Our limit is shorter.
    const { pluginTimeout = 0 } = app.initialConfig
    const timeout = pluginTimeout > 0 ? pluginTimeout * 0.9 : 60_000
    try {
      await broker.start(timeout)
    } catch (error) {
      await broker.close(0).catch((err: unknown) => log.error({ err }, 'broker not closed'))
      throw error
    }
  }

  async #shutDown (): Promise<void> {
    const { options, decisions, dispatcher, broker, sockets, upgrades, store, tracing, log } = this.#parts
    this.closing.since = new Date()
    const deadline = performance.now() + options.drainTimeout
    const timeLeft = () => Math.max(0, deadline - performance.now())
    const teardown = new Teardown(log)
    // First, so that upgrades that wait for a decision are answered while their sockets are open.
    await teardown.try(() => decisions.close())
    dispatcher.drain()
    // Half of the time: even if messages can't be settled, time must remain for closing the connections.
    await teardown.try(() => broker?.drain(timeLeft() / 2))
    // A hold in memory is published back to the queue after this, which takes time too.
    await teardown.try(() => sockets.closeAll((store?.size ?? 0) > 0 ? timeLeft() / 2 : timeLeft()))
    await teardown.try(() => upgrades.close())
    if (store !== undefined) await teardown.try(() => this.#closeHold(store, timeLeft))
    await teardown.try(() => broker?.close(timeLeft()))
    await teardown.try(() => tracing?.close())
    this.closing.done = new Date()
    teardown.end()
  }

  /** Closes the hold. First publishes notifications that are held in memory back to the queue, for the next process. */
  async #closeHold (store: ManagedHoldStore, timeLeft: () => number): Promise<void> {
    const { dispatcher, broker, log } = this.#parts
    const teardown = new Teardown(log)
    clearInterval(this.#sweepTimer)
    await teardown.try(() => withTimeout(timeLeft(), dispatcher.close()))
    await teardown.try(() => giveBack(store, broker, timeLeft(), log))
    await teardown.try(() => store.close())
    teardown.end()
  }
}
