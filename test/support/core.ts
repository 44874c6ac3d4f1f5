// The delivery without servers: a source, connections, a store and an exchange between instances, all in memory.
import type { SettledItem } from '../../src/cluster/frames.js'
import { OutgoingRelays } from '../../src/cluster/outgoing-relays.js'
import { Peer } from '../../src/cluster/peer.js'
import { createPeers } from '../../src/cluster/peers.js'
import type { WindowSize } from '../../src/delivery/ack-window.js'
import { Delivery } from '../../src/delivery/delivery.js'
import { Dispatcher, type DispatcherOptions } from '../../src/delivery/dispatcher.js'
import type { Held, HoldStore, Observer, Origin, Outcome, Result, Subscriber } from '../../src/delivery/doors.js'
import { compose } from '../../src/delivery/notification.js'
import type { Peers } from '../../src/delivery/peers.js'
import type { Payload } from '../../src/delivery/payload.js'
import { Registry } from '../../src/delivery/registry.js'
import { MemoryDismissals } from '../../src/hold/dismissals.js'
import { createCallOrigin } from '../../src/rabbitmq/call-origin.js'

/** Lets everything run that waits for nothing but its turn. */
export async function settleDown (): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise(resolve => setImmediate(resolve))
}

/** A message of a queue that the test settles. */
export class MemoryMessage implements Origin {
  readonly queue = 'memory'
  readonly redelivers = true
  readonly timeToLive = Infinity
  readonly bytes: number = 1_024
  isShared = false
  isMoved = false
  readonly letters: string[] = []
  readonly #channel: AbortController

  constructor (readonly redelivered = false, channel = new AbortController()) {
    this.#channel = channel
  }

  get gone (): AbortSignal {
    return this.#channel.signal
  }

  timesBefore (): undefined {}

  /** The channel dies: the broker will deliver the message again. */
  lose (): void {
    this.#channel.abort()
  }

  async deadLetter ({ payload: { id } }: { payload: Payload }): Promise<void> {
    this.letters.push(id)
  }
}

/** A call of notify(). */
export const call: Origin = createCallOrigin(() => undefined)

/** What a connection was sent. */
export interface Sent { readonly id: string, readonly redelivered: boolean }

/** A connection whose client the test plays. */
export class MemorySubscriber implements Subscriber {
  readonly id = `connection-${++lastConnection}`
  readonly sent: Sent[] = []
  readonly dismissed: string[] = []
  unackedCount = 0
  isUsable = true
  isCongested = false
  #relieved: Array<() => void> = []

  constructor (readonly userId: string, readonly acknowledges: boolean) {}

  send ({ id }: Payload, redelivered: boolean): boolean {
    if (!this.isUsable) return false
    this.sent.push({ id, redelivered })
    return true
  }

  async relieved (over: AbortSignal): Promise<void> {
    if (!this.isCongested) return
    await new Promise<void>(resolve => {
      this.#relieved.push(resolve)
      over.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  /** Its client has read what waited for it. */
  relieve (): void {
    this.isCongested = false
    for (const done of this.#relieved.splice(0)) done()
  }

  dismiss (ids: readonly string[]): void {
    this.dismissed.push(...ids)
  }

  spendClaim (): boolean {
    return true
  }
}

let lastConnection = 0

/** A store whose answers the test may delay. */
export class MemoryStore implements HoldStore {
  readonly #byUser = new Map<string, Held[]>()
  /** If set, each call waits for it. */
  delay: (() => Promise<void>) | undefined

  constructor (readonly isShared = true) {}

  async add (userId: string, held: Held): Promise<string[] | 'known'> {
    await this.delay?.()
    const all = this.#byUser.get(userId) ?? []
    this.#byUser.set(userId, all)
    const same = all.find(({ id }) => id === held.id)
    if (same !== undefined) return same.position === held.position ? [] : 'known'
    all.push(held)
    all.sort((a, b) => a.position - b.position)
    return []
  }

  async read (userId: string, after: Pick<Held, 'position' | 'id'> | undefined, limit: number): Promise<Held[]> {
    await this.delay?.()
    const all = this.#byUser.get(userId) ?? []
    const from = after === undefined ? 0 : all.findIndex(({ id, position }) => id === after.id && position === after.position) + 1
    const rest = from > 0 || after === undefined ? all.slice(from) : all.filter(({ position }) => position >= after.position)
    return rest.slice(0, limit)
  }

  async remove (userId: string, ids: readonly string[]): Promise<string[]> {
    await this.delay?.()
    const all = this.#byUser.get(userId) ?? []
    this.#byUser.set(userId, all.filter(({ id }) => !ids.includes(id)))
    return all.filter(({ id }) => ids.includes(id)).map(({ id }) => id)
  }

  ids (userId: string): string[] {
    return (this.#byUser.get(userId) ?? []).map(({ id }) => id)
  }
}

/** The other instances, reached through memory: each answer takes a turn. */
export class MemoryExchange {
  readonly instances: MemoryInstance[] = []

  peersOf (own: () => MemoryInstance): Peers {
    let lastRelay = 0
    const asking = new Set<Delivery>()
    const others = (userId: string) => this.instances.filter(instance => instance !== own() && instance.subscribers.of(userId).length > 0)

    async function ask (delivery: Delivery): Promise<void> {
      await settleDown()
      const { dispatcher } = own()
      asking.delete(delivery)
      const asked = others(delivery.userId)
      const answers = asked.map(async ({ dispatcher: peer }) => {
        const guest = new Delivery(delivery.notification, undefined, delivery.position, delivery.expiresAt, 'guest')
        const { outcome, connections } = await peer.peerListener.host(guest)
        await settleDown()
        if (outcome === 'offline' || outcome === 'dead-lettered') return
        dispatcher.peerListener.peerSettled(delivery, outcome, connections)
      })
      dispatcher.peerListener.peersAnswered(delivery, asked.length > 0)
      await Promise.all(answers)
      if (asked.length > 0 && !delivery.isSettled && delivery.holders.length === 0 && !delivery.isWaiting) await ask(delivery)
    }

    return {
      areNone: () => false,
      have: userId => others(userId).length > 0,
      sentHere () {},
      deliver (delivery) {
        delivery.relay = ++lastRelay
        if (asking.has(delivery)) return
        asking.add(delivery)
        ask(delivery)
      },
      isAsking: delivery => asking.has(delivery),
      unanswered: userId => [...asking].filter(delivery => delivery.userId === userId && delivery.holders.length === 0 && !delivery.isWaiting && !delivery.isSentHere),
      settled (delivery) { asking.delete(delivery) },
      failed (delivery) { asking.delete(delivery) },
      wake (userId, told) {
        for (const { dispatcher } of others(userId)) dispatcher.peerListener.wake(userId)
        told?.()
      }
    }
  }
}

/** One instance of the delivery, with everything that it has told its observer. */
export interface MemoryInstance {
  readonly dispatcher: Dispatcher
  readonly subscribers: Registry
  /** The outcomes by notification id, in the order in which they were told. */
  readonly outcomes: Map<string, Outcome[]>
  connect (userId: string, acknowledges?: boolean): MemorySubscriber
  disconnect (subscriber: MemorySubscriber): void
  deliver (id: string, userId?: string, origin?: Origin): Promise<Result>
}

const silent = { debug () {}, info () {}, warn () {}, error (fields: unknown) { console.error(fields) } } as never

/** Starts an instance, alone or on an exchange. */
export function startInstance (
  { dismiss = false, ...options }: Partial<DispatcherOptions> & { dismiss?: boolean } = {}, { windowSize, store, exchange, observed, overdue }: { windowSize?: WindowSize | undefined, store?: HoldStore | undefined, exchange?: MemoryExchange, observed?: (kind: string, outcome: Outcome) => void, overdue?: (subscriber: MemorySubscriber) => void } = {}
): MemoryInstance {
  const subscribers = new Registry()
  const outcomes = new Map<string, Outcome[]>()
  const observer: Observer = {
    received () {},
    decoded () {},
    ignored () {},
    rejected () {},
    hosted () {},
    settled ({ payload: { id } }, _origin, kind, { outcome }, circumstance) {
      observed?.(kind, outcome)
      if (circumstance === 'joined') return
      if (kind !== 'own') return
      outcomes.set(id, [...outcomes.get(id) ?? [], outcome])
    },
    fannedOut () {},
    failed () {},
    abandoned () {},
    settledLate () {}
  }
  const dispatcher = new Dispatcher({
    options: { settle: 'acknowledged', offline: 'drop', maxUnacked: 10, ackTimeout: 60_000, maxDeliveries: 5, hold: { maxAge: 86_400_000 }, ...options },
    subscribers,
    windowSize,
    store,
    dismissals: dismiss ? new MemoryDismissals(Infinity) : undefined,
    observer,
    ownOrigin: call,
    log: silent,
    overdue: subscriber => (overdue ?? instance.disconnect)(subscriber as MemorySubscriber)
  })
  const instance: MemoryInstance = {
    dispatcher,
    subscribers,
    outcomes,
    connect (userId, acknowledges = true) {
      const subscriber = new MemorySubscriber(userId, acknowledges)
      subscribers.add(subscriber)
      dispatcher.joined(subscriber)
      return subscriber
    },
    disconnect (subscriber) {
      subscriber.isUsable = false
      subscribers.delete(subscriber)
      dispatcher.left(subscriber)
    },
    async deliver (id, userId = '123', origin = new MemoryMessage()) {
      return await dispatcher.deliver(compose(userId, id, id), origin)
    }
  }
  if (exchange !== undefined) {
    exchange.instances.push(instance)
    dispatcher.connect(exchange.peersOf(() => instance))
  }
  return instance
}

/** A relay that was published to the other instance, and how the test says what became of it. */
export interface MemoryRelay {
  /** The items, as JSON. */
  readonly body: string
  /** Whether the other instance has it, or its inbox is gone; undefined if that is unknown. */
  answered (isRouted: boolean | undefined): void
}

/**
 * Connects a dispatcher to the real relays. There is one other instance, `peer`, which has every user for as long as its
 * inbox is there. The test answers for it.
 * @param receiptTimeout after which an unanswered relay is published again, in milliseconds
 */
export function connectOutbox (dispatcher: Dispatcher, awaitsAcks: boolean, receiptTimeout: number) {
  const relays: MemoryRelay[] = []
  const told: SettledItem[] = []
  let lastNumber = 0
  const peer = new Peer({ from: 'peer', inbox: 'inbox', term: 1, seq: 1 }, 0)
  let isThere = true
  let scheduled: NodeJS.Immediate | undefined
  const outbox = new OutgoingRelays({
    log: silent,
    awaitsAcks,
    receiptTimeout,
    publishTimeout: 600_000,
    now: () => performance.now(),
    number: () => ++lastNumber,
    publish (_inbox, body, done) {
      relays.push({ body, answered: isRouted => done(isRouted === undefined ? 'unknown' : isRouted ? 'routed' : 'returned') })
    },
    isAlone: () => false,
    peersOf: () => isThere ? [peer] : [],
    afterMarker: callback => { setImmediate(callback) },
    schedule () {
      scheduled ??= setImmediate(() => {
        scheduled = undefined
        outbox.flush()
      })
    },
    returned () {
      isThere = false
      outbox.peerGone(peer)
    },
    tell: (_instance, item) => { told.push(item) },
    listener: dispatcher.peerListener,
    traceOf: () => undefined
  })
  const timer = setInterval(() => outbox.tick(true), 100)
  dispatcher.connect(createPeers({ isAlone: () => false, of: () => isThere ? [peer] : [] }, outbox, { add: (_userId, told) => told?.() }))
  function close (): void {
    clearInterval(timer)
    outbox.close()
  }
  return { outbox, relays, told, close }
}
