import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { isFair } from './delivery/ack-window.js'
import type { Dispatcher } from './delivery/dispatcher.js'
import type { ManagedHoldStore } from './hold/index.js'
import type { Metrics } from './observability/metrics/index.js'
import type { Tracing } from './observability/tracing.js'
import { isUnprotected, type Options } from './options/schema.js'
import type { Broker } from './rabbitmq/broker.js'
import { GiveBack } from './rabbitmq/give-back.js'
import { Teardown } from './teardown.js'
import { patternsWithoutMatch } from './websocket/origin-pattern.js'
import type { PendingDecisions } from './websocket/pending-decisions.js'
import { maxClientSockets, reserveDescriptors } from './websocket/open-files.js'
import { missingBounds } from './websocket/server.js'
import type { Sockets } from './websocket/sockets.js'
import type { Upgrades } from './websocket/upgrades.js'
import { withTimeout } from './with-timeout.js'

/**
 * How often to look for what was not acknowledged in time, and for what has expired in a hold in memory, in milliseconds. Also
 * where nobody is connected: what this instance has taken may wait for clients of others.
 */
const TICK = 1_000

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
  /** The state has changed. */
  changed (): void
  log: FastifyBaseLogger
}

/** Starts everything when the application is ready, and closes everything when the application closes. */
export class Lifecycle {
  /** Whether the application has begun to close, and whether it has closed. */
  readonly closing = { begun: false, done: false }
  readonly #parts: LifecycleParts
  #timer: NodeJS.Timeout | undefined
  #closed: Promise<void> | undefined

  constructor (parts: LifecycleParts) {
    this.#parts = parts
  }

  async start (): Promise<void> {
    const { app, options, dispatcher, broker, store, log } = this.#parts
    const maxSockets = maxClientSockets()
    reserveDescriptors(app.server, maxSockets)
    this.#warn(maxSockets)
    if (store?.size !== undefined) log.warn('offline is \'hold\' without hold.redis: what is held is in memory, and lost in a crash')
    if (broker !== undefined) await this.#startBroker(broker)
    if (this.closing.begun || (options.settle !== 'acknowledged' && store?.size === undefined)) return
    this.#timer = setInterval(() => {
      dispatcher.tick()
      store?.sweep()
    }, TICK)
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

  #warn (maxSockets: number): void {
    const { app, options, broker, log } = this.#parts
    const { authenticate, allowedOrigins, limits, settle } = options
    if (authenticate === undefined) {
      log[isUnprotected(options) ? 'error' : 'warn']('no authenticate option: any client can read the notifications of any user')
    }
    if (broker !== undefined && settle === 'acknowledged' && !isFair(options)) {
      log.warn('one connection can keep the messages of other users waiting: set prefetch to at least four times maxUnacked, or offline to hold')
    }
    for (const { pattern, why } of patternsWithoutMatch(allowedOrigins)) {
      log.warn({ pattern, why, option: 'allowedOrigins' }, 'no origin can match a pattern: an origin is like https://example.com or http://localhost:8080')
    }
    if (limits.connections > maxSockets) {
      log.warn({ connections: limits.connections, possible: maxSockets }, 'limits.connections is above what the process may open: raise its limit of open files (ulimit -n), or lower limits.connections')
    }
    const missing = missingBounds(app, limits)
    if (Object.keys(missing).length > 0) {
      log.warn({ options: missing }, 'the @fastify/websocket of the application lets clients do more than the plugin would: set these of its options')
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
    const { options, decisions, dispatcher, broker, sockets, upgrades, store, tracing, changed, log } = this.#parts
    this.closing.begun = true
    changed()
    const deadline = performance.now() + options.drainTimeout
    const timeLeft = () => Math.max(0, deadline - performance.now())
    const teardown = new Teardown(log)
    // First, so that upgrades that wait for a decision are answered while their sockets are open.
    await teardown.try(() => decisions.close())
    dispatcher.beginToClose()
    // Half of the time: even if messages can't be settled, time must remain for closing the connections.
    await teardown.try(() => broker?.drain(timeLeft() / 2))
    // A hold in memory is published back to the queue after this, which takes time too.
    await teardown.try(() => sockets.closeAll((store?.size ?? 0) > 0 ? timeLeft() / 2 : timeLeft()))
    clearInterval(this.#timer)
    await teardown.try(() => upgrades.close())
    if (store !== undefined) await teardown.try(() => this.#closeHold(store, timeLeft))
    await teardown.try(() => broker?.close(timeLeft()))
    await teardown.try(() => tracing?.close())
    this.closing.done = true
    changed()
    teardown.end()
  }

  /** Closes the hold. First publishes notifications that are held in memory back to the queue, for the next process. */
  async #closeHold (store: ManagedHoldStore, timeLeft: () => number): Promise<void> {
    const { dispatcher, broker, log } = this.#parts
    const teardown = new Teardown(log)
    await teardown.try(() => withTimeout(timeLeft(), dispatcher.close()))
    await teardown.try(() => new GiveBack(broker, timeLeft(), log).publishAll(store))
    await teardown.try(() => store.close())
    teardown.end()
  }
}
