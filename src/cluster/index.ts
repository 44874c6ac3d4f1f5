import { randomUUID } from 'node:crypto'
import type { ChannelModel, ConsumeMessage } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import type { Payload } from '../delivery/payload.js'
import type { Origin } from '../delivery/doors.js'
import type { MulticastPeers, PeerListener, Peers } from '../delivery/peers.js'
import { errors } from '../errors.js'
import type { BrokerOptions } from '../options/schema.js'
import type { BrokerExtension } from '../rabbitmq/broker.js'
import type { Publisher } from '../rabbitmq/publisher.js'
import { Teardown } from '../teardown.js'
import { ClusterCore } from './cluster-core.js'
import type { ClusterCoreParts } from './cluster-core-parts.js'
import { groupEntry } from './entries.js'
import { ensureExchange, exchangeOf, NOBODY } from './exchange.js'
import { FrameFaults } from './frame-faults.js'
import { decodeFrame, type FrameFault } from './frames.js'
import { Inbox } from './inbox.js'
import { ToAll } from './to-all.js'
import { Unsent, type UnsentReason } from './unsent.js'
import { EVERYBODY, type Published, type Wire } from './wire.js'

/** How often to look for what is due, in milliseconds. */
const TICK = 100

export interface ClusterParts {
  options: BrokerOptions
  publisher: Publisher
  /** The state of the connection has changed. */
  changed (): void
  /** A message for the peers was dropped before the broker accepted it. */
  unsent (reason: UnsentReason): void
  log: FastifyBaseLogger
  listener: PeerListener
  /** The trace context of a delivery, for the peer that continues it. */
  traceOf (origin: Origin | undefined): Record<string, string> | undefined
  /** Delivers to every user who is connected here, but those of `except`. */
  broadcast (payload: Payload, except: readonly string[]): void
  /** Delivers to those who are connected here, because a peer asks for it. */
  multicast: ClusterCoreParts['multicast']
  /** Puts a user's connections here into a group, or takes them out, because a peer says so. */
  changeGroup: ClusterCoreParts['changeGroup']
  /** Closes a user's connections here, because `disconnect()` was called on a peer. */
  closeConnections: ClusterCoreParts['closeConnections']
  /** Present with the option `metrics`. */
  times: ClusterCoreParts['times']
}

/**
 * Connects the instances that share the queue, through RabbitMQ alone. Each instance has an inbox, which is bound to one
 * exchange: once for frames to all, once for frames to itself. {@link ClusterCore} decides what the instances tell each
 * other.
 */
export class Cluster implements BrokerExtension {
  /** What the delivery needs of the peers. */
  readonly peers: Peers
  /** What a message for a group, or for everybody, needs of the peers. */
  readonly multicasts: MulticastPeers
  /** What all peers are told, without an answer. */
  readonly toAll: ToAll
  /** The exchange that is published to, and a routing key to which no queue is bound. */
  readonly exchanges: BrokerExtension['exchanges']
  readonly #parts: ClusterParts
  readonly #exchange: string
  readonly #core: ClusterCore
  readonly #inbox: Inbox
  readonly #faults: FrameFaults
  #timer: NodeJS.Timeout | undefined
  #isLeaving = false

  constructor (parts: ClusterParts) {
    const { options, log } = this.#parts = parts
    const exchange = this.#exchange = exchangeOf(options)
    this.exchanges = [{ name: exchange, nobody: NOBODY }]
    this.#faults = new FrameFaults(log, exchange)
    const unsent = new Unsent(parts.unsent, log)
    this.#core = new ClusterCore({
      ...parts,
      unsent,
      instance: randomUUID(),
      wire: this.#createWire(),
      malformed: () => this.#faults.add('malformed'),
      awaitsAcks: options.settle === 'acknowledged',
      receiptTimeout: options.relay.receiptTimeout,
      publishTimeout: options.publishTimeout
    })
    this.peers = this.#core.peers
    this.multicasts = this.#core.multicasts
    this.#inbox = new Inbox({
      options,
      exchange,
      log,
      handle: message => this.#receive(message),
      opened: () => this.#open(),
      lost: () => this.#core.suspend(),
      changed: parts.changed
    })
    this.toAll = new ToAll({
      reconnect: options.reconnect,
      publish: (kind, body, answered) => this.#publishWhole(EVERYBODY, this.#core.encode(kind, body), answered),
      probe: answered => this.#publishWhole(NOBODY, '', answered),
      unsent
    })
  }

  /** The connection of the inbox. */
  get connection (): Inbox['connection'] {
    return this.#inbox.connection
  }

  /** How many peers there are, how many users they have, and how many announcements this instance has published. */
  get counts (): ClusterCore['presence']['counts'] {
    return this.#core.presence.counts
  }

  /** How many frames were dropped, by fault. */
  get dropped (): Readonly<Record<FrameFault, number>> {
    return this.#faults.counts
  }

  /** A user gets a connection. Resolves when all instances know of it; undefined if they do already. */
  opening (userId: string): Promise<void> | undefined {
    return this.#core.presence.opening(userId)
  }

  /** A user has no connection left. */
  left (userId: string): void {
    this.#core.presence.left(userId)
  }

  /** A group gets a connection. Resolves when all instances know of it; undefined if they do already. */
  groupOpening (group: string): Promise<void> | undefined {
    return this.#core.presence.opening(groupEntry(group))
  }

  /** A group has no connection left. */
  groupLeft (group: string): void {
    this.#core.presence.left(groupEntry(group))
  }

  /**
   * Whether a user has a connection on a peer.
   * @throws FST_NOTIFICATION_PUBLISH_TIMEOUT
   */
  async isElsewhere (userId: string): Promise<boolean> {
    const { publishTimeout } = this.#parts.options
    let timer: NodeJS.Timeout | undefined
    let forget: (() => void) | undefined
    try {
      return await new Promise<boolean>((resolve, reject) => {
        timer = setTimeout(() => reject(new errors.PublishTimeout('the other instances', publishTimeout)), publishTimeout)
        forget = this.#core.isElsewhere(userId, resolve)
      })
    } finally {
      clearTimeout(timer)
      forget?.() // else calls would pile up while the broker is away
    }
  }

  /** Declares the exchange that the publisher needs. */
  async prepare (model: ChannelModel): Promise<void> {
    if (await ensureExchange(model, this.#exchange)) await this.#inbox.reopen()
  }

  /** Connects. */
  async start (timeout: number): Promise<void> {
    this.#timer = setInterval(() => this.#core.tick(), TICK)
    await this.#inbox.connection.start(timeout)
  }

  /** The publisher accepts publishes: for the first time, or again. */
  opened (): void {
    this.#open()
    this.toAll.resume()
  }

  /** Accepts nothing more from peers: the broker returns what they send. */
  async leave (timeout: number): Promise<void> {
    if (!this.#isLeaving) this.#core.leave()
    this.#isLeaving = true
    await this.#inbox.connection.close(timeout)
  }

  /** Sends the receipts that wait. */
  async close (): Promise<void> {
    clearInterval(this.#timer)
    const teardown = new Teardown(this.#parts.log)
    for (const part of [this.#core, this.toAll]) await teardown.try(() => part.close())
    teardown.end()
  }

  #open (): void {
    const { name } = this.#inbox
    if (name !== undefined && this.#parts.publisher.connection.state === 'open' && !this.#isLeaving) this.#core.opened(name)
  }

  #createWire (): Wire {
    const { publisher, log } = this.#parts
    const exchange = this.#exchange
    const inbox = () => this.#inbox
    return {
      get state () {
        const { state } = publisher.connection
        return state === 'open' || state === 'blocked' ? state : 'closed'
      },
      publish: (to, frame, done) => this.#publish(to, frame, done),
      now: () => performance.now(),
      defer: run => { setImmediate(run) },
      later: (milliseconds, run) => { setTimeout(run, milliseconds).unref() },
      reopen () {
        log.warn({ exchange }, 'relay bindings lost')
        inbox().reopen().catch((err: unknown) => log.debug({ err }, 'inbox not closed'))
      }
    }
  }

  #publish (to: string, frame: string, done: (published: Published) => void): void {
    const { publisher } = this.#parts
    publisher.send(this.#exchange, to, Buffer.from(frame), { userId: publisher.user }, isRouted => {
      done(isRouted === undefined ? 'unknown' : isRouted ? 'routed' : 'returned')
    })
  }

  #publishWhole (to: string, frame: string, answered: (isTaken: boolean) => void): void {
    this.#publish(to, frame, published => answered(published !== 'unknown'))
  }

  #receive ({ content, fields: { routingKey }, properties: { userId } }: ConsumeMessage): void {
    const frame = userId === this.#parts.publisher.user ? decodeFrame(content, routingKey === EVERYBODY) : 'foreign'
    if (typeof frame === 'string') this.#faults.add(frame)
    else this.#core.receive(frame)
  }
}
