import { randomUUID } from 'node:crypto'
import type { ChannelModel, ConsumeMessage, Options as AmqpOptions } from 'amqplib'
import type { FastifyBaseLogger } from 'fastify'
import type { Origin } from '../delivery/doors.js'
import type { PeerListener, Peers } from '../delivery/peers.js'
import type { Payload } from '../delivery/payload.js'
import { payloadFromJson } from '../delivery/notification.js'
import { isId } from '../ids.js'
import type { BrokerOptions } from '../options/schema.js'
import type { Publisher } from '../rabbitmq/publisher.js'
import type { Registry } from '../delivery/registry.js'
import { Teardown } from '../teardown.js'
import { createBindings } from './bindings.js'
import { BroadcastQueue } from './broadcast-queue.js'
import { ensureExchange, exchangeOf, NOBODY } from './exchange.js'
import { createTurnBatcher } from './turn-batcher.js'
import { createIncomingRelays } from './incoming-relays.js'
import { createInbox, EVERYBODY } from './inbox.js'
import { createOutbox, type RelayTimes } from './outbox.js'
import { createPresence } from './presence.js'
import { decodeFrame, type Broadcast, type Disconnect, type FrameType, type Receipt, type RelayedItem, type SettledItem } from './protocol.js'
import { Unsent } from './unsent.js'
import { UrgentPublishes } from './urgent-publishes.js'
import { createWakes } from './wakes.js'

/** Marks a relay that this instance ignores when its own inbox receives it: its own connections have it already. */
const HERE = 'here'

export type Cluster = ReturnType<typeof createCluster>

/** Called with whether a published message was routed to a queue; undefined if unknown. */
type Published = (isRouted: boolean | undefined) => void

export interface ClusterParts {
  options: BrokerOptions
  registry: Registry
  publisher: Publisher
  /** A message for the peers was dropped before the broker accepted it. */
  unsent (reason: 'overflow' | 'expired'): void
  log: FastifyBaseLogger
  listener: PeerListener
  /** The trace context of a delivery, for the peer that continues it. */
  traceOf (origin: Origin | undefined): Record<string, string> | undefined
  /** Delivers to every user who is connected here. */
  broadcast (payload: Payload): void
  /** Closes a user's connections here, because `disconnect()` was called on a peer. */
  closeConnections (userId: string, code: number, reason: string): void
  /** Present with the option `metrics`. */
  times: RelayTimes | undefined
}

/**
 * Connects the instances that share the queue, through RabbitMQ alone. Each instance has an inbox, which is bound to
 * one exchange with the ids of the connected users. An instance relays what it takes from the queue to the peers that
 * have the user. If the broker returns a relay, no peer has the user. Peers tell the outcome with receipts.
 */
export function createCluster ({ options, registry, publisher, unsent: countUnsent, log, listener, traceOf, broadcast, closeConnections, times }: ClusterParts) {
  const { relay: { unbindDelay, receiptTimeout }, publishTimeout, reconnect } = options
  const exchange = exchangeOf(options)
  const instance = randomUUID()
  let lastId = 0
  const nextId = () => ++lastId

  const bindings = createBindings(unbindDelay, userId => listener.wake(userId))
  const receipts = createTurnBatcher<Receipt>((inbox, items) => post('', inbox, 'receipts', JSON.stringify(items)))
  const settlements = createTurnBatcher<SettledItem>((inbox, items) => post('', inbox, 'settled', JSON.stringify(items)))
  const outbox = createOutbox({
    registry,
    awaitsAcks: options.settle === 'acknowledged',
    receiptTimeout,
    publishTimeout,
    nextId,
    publish: (userId, body, isHere, done) => ask(userId, 'relay', body, times?.confirmed(done) ?? done, isHere ? HERE : undefined),
    times,
    tell: settlements.add,
    listener,
    traceOf
  })
  const incoming = createIncomingRelays({
    log,
    receiptTimeout,
    host: guest => listener.host(guest),
    leave: bindings.drop,
    reply: receipts.add,
    settledElsewhere: (guest, outcome, connections) => listener.peerSettled(guest, outcome, connections)
  })
  const presence = createPresence({
    receiptTimeout,
    timeout: publishTimeout,
    nextId,
    publish: (userId, probe, done) => ask(userId, 'probe', String(probe), done)
  })
  const unsent = new Unsent(countUnsent, log)
  const urgentWakes = createUrgent('wake')
  const disconnects = createUrgent('disconnect')
  const broadcasts = new BroadcastQueue({
    reconnect,
    probe: answered => post(exchange, NOBODY, 'wake', 'null', toldIfTaken(answered)),
    publish: (body, answered) => post(exchange, EVERYBODY, 'broadcast', body, toldIfTaken(answered)),
    sent: () => unsent.sent('broadcast'),
    unsent: reason => unsent.add('broadcast', reason)
  })
  const wakes = createWakes(userId => urgentWakes.add(userId, 'null'))
  const inbox = createInbox({
    options,
    exchange,
    bindings,
    log,
    handle,
    opened: outbox.resume,
    interval: receiptTimeout,
    probe: (routingKey, done) => post(exchange, routingKey, 'wake', 'null', done) // an instance ignores its own wakes
  })

  function post (to: string, routingKey: string, type: FrameType, body: string, done?: Published, correlationId?: string): void {
    const properties: AmqpOptions.Publish = { type, appId: instance, replyTo: inbox.address, ...(correlationId !== undefined && { correlationId }) }
    publisher.send(to, routingKey, Buffer.from(body), properties, done)
  }

  function createUrgent (type: 'wake' | 'disconnect'): UrgentPublishes {
    return new UrgentPublishes({
      reconnect,
      publish: (userId, body, answered) => post(exchange, userId, type, body, toldIfTaken(answered)),
      sent: () => unsent.sent(type),
      unsent: reason => unsent.add(type, reason)
    })
  }

  /** These publishes need no answer of a peer. They only need a broker that accepts them. */
  function toldIfTaken (answered: (isTaken: boolean) => void): Published {
    return isRouted => answered(isRouted !== undefined)
  }

  /** Publishes only while the inbox is open: without one, peers have no address for their answers. */
  function ask (userId: string, type: FrameType, body: string, done: Published, correlationId?: string): void {
    if (inbox.isOpen) post(exchange, userId, type, body, done, correlationId)
    else done(undefined)
  }

  function handle ({ content, fields: { routingKey }, properties: { type, appId, replyTo, correlationId } }: ConsumeMessage): void {
    const isOwn = appId === instance
    if (isOwn && correlationId === HERE) return // most of what an instance receives from itself is this, so skip the parsing
    const message = decodeFrame(type, content)
    if (message === undefined || typeof appId !== 'string' || typeof replyTo !== 'string') {
      log.warn({ type }, 'relay not understood')
      return
    }
    const sender = { instance: appId, inbox: replyTo }
    switch (message.type) {
      case 'relay': return receive(sender, routingKey, message.frame)
      case 'receipts': return message.frame.forEach(receipt => { if (!presence.receipt(receipt)) outbox.receipt(replyTo, receipt) })
      case 'settled': return message.frame.forEach(([relay, outcome]) => incoming.settled(sender, relay, outcome))
      case 'probe':
        answer(sender.inbox, routingKey, message.frame)
        return
    }
    if (isOwn) return
    switch (message.type) {
      case 'wake': return listener.wake(routingKey)
      case 'disconnect': return closeConnections(routingKey, message.frame.code, message.frame.reason)
      case 'broadcast': return broadcast(payloadFromJson(message.frame.id, message.frame.json))
    }
  }

  function receive (sender: { instance: string, inbox: string }, userId: string, items: readonly RelayedItem[]): void {
    // The broker may deliver through a new binding before it confirms the binding. Held notifications come first.
    const bound = bindings.pending(userId)
    if (bound === undefined) incoming.receive(sender, userId, items)
    else bound.then(() => incoming.receive(sender, userId, items))
  }

  async function answer (inbox: string, userId: string, probe: number): Promise<void> {
    const { length } = registry.of(userId)
    if (length === 0) await bindings.drop(userId)
    receipts.add(inbox, [probe, length === 0 ? 'nobody' : 'taken', length])
  }

  return {
    connection: inbox.connection,

    /** What the delivery needs of the peers. */
    peers: { ...outbox, wake: wakes.add } satisfies Peers,

    /** A user gets a connection. Resolves when peers can reach the user here; undefined if they can already. */
    opening: bindings.add,

    /** A user has no connection left. */
    left: bindings.release,

    isElsewhere: presence.isElsewhere,

    /** Closes a user's connections on the peers. */
    disconnect (userId: string, disconnect: Disconnect): void {
      // An invalid id can't have a connection, and the broker would never accept it as a routing key.
      if (isId(userId)) disconnects.add(userId, JSON.stringify(disconnect))
    },

    /** Sends a content to every user on the peers. */
    broadcast (broadcast: Broadcast): void {
      broadcasts.add(JSON.stringify(broadcast))
    },

    /** Declares the exchange that the publisher needs. */
    async prepare (model: ChannelModel): Promise<void> {
      if (await ensureExchange(model, exchange)) await inbox.reopen()
    },

    /** The exchange that is published to, and a routing key to which no queue is bound. */
    exchanges: [{ name: exchange, nobody: NOBODY }],

    /** Connects. */
    start: (timeout: number): Promise<void> => inbox.connection.start(timeout),

    /** The publisher accepts publishes again: publishes everything that waits at once. */
    opened (): void {
      outbox.resume()
      for (const waiting of [disconnects, urgentWakes, broadcasts]) waiting.resume()
    },

    /** How many users are bound here, so that peers can reach them. */
    get bindings (): number {
      return bindings.size
    },

    /** Accepts nothing more from peers: the broker returns what they send. */
    async leave (timeout: number): Promise<void> {
      const teardown = new Teardown(log)
      await teardown.try(() => inbox.connection.close(timeout))
      await teardown.try(bindings.close)
      teardown.end()
    },

    /** Sends the receipts that wait. */
    async close (): Promise<void> {
      const teardown = new Teardown(log)
      await teardown.try(receipts.flush)
      await teardown.try(settlements.flush)
      await teardown.try(outbox.close)
      await teardown.try(incoming.close)
      for (const waiting of [disconnects, urgentWakes, broadcasts]) await teardown.try(() => waiting.close())
      teardown.end()
    }
  }
}
