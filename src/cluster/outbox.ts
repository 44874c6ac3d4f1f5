import type { Delivery } from '../delivery/delivery.js'
import type { Origin, Outcome } from '../delivery/doors.js'
import type { PeerListener } from '../delivery/peers.js'
import { errors } from '../errors.js'
import type { Registry } from '../delivery/registry.js'
import { toSettledState, type Receipt, type ReceiptState, type SettledItem, type SettledState } from './protocol.js'
import { createRelayQueue, type Relay, type RelayQueueParts } from './relay-queue.js'

/** How many times a relay that no peer took is published again at once. After that it waits for `receiptTimeout`. */
const MAX_ATTEMPTS = 10

/** How often to check for relays without an answer, in milliseconds. */
const TICK = 500

export type Outbox = ReturnType<typeof createOutbox>

/** Measures how long relays take. */
export interface RelayTimes {
  /** Must be called when a relay is published. The returned callback measures the time, then calls `done`. */
  confirmed (done: (isRouted: boolean | undefined) => void): (isRouted: boolean | undefined) => void
  /**
   * A peer has sent a receipt for a relay.
   * @param begun when the relay was published, in milliseconds of the monotonic clock
   */
  receipt (receipt: ReceiptState, begun: number): void
}

export interface OutboxParts {
  registry: Registry
  /** Whether clients acknowledge. */
  awaitsAcks: boolean
  /** How long an answer may take, in milliseconds. After that the relay is published again. */
  receiptTimeout: number
  /** How long the broker may take to confirm a relay that does not come from a queue, in milliseconds. */
  publishTimeout: number
  /** Present with the option `metrics`. */
  times?: RelayTimes | undefined
  nextId (): number
  publish: RelayQueueParts['publish']
  /** Tells an inbox that a relay is settled, so that its clients need not acknowledge it any more. */
  tell (inbox: string, settled: SettledItem): void
  listener: Pick<PeerListener, 'peersAnswered' | 'peerSettled' | 'abandon' | 'fail'>
  /** The trace context of a delivery, for the peer that continues it. */
  traceOf (origin: Origin | undefined): Record<string, string> | undefined
}

/** The relays to the peers, from the first publish until the outcome is known. */
export function createOutbox ({ registry, awaitsAcks, receiptTimeout, publishTimeout, times, nextId, publish, tell, listener, traceOf }: OutboxParts) {
  const relays = new Map<number, Relay>()
  /** Recent outcomes, for peers that accept late. Two generations, rotated. */
  let recent = new Map<number, SettledState>()
  let older = new Map<number, SettledState>()
  let rotatedAt = performance.now()
  let timer: NodeJS.Timeout | undefined
  let isClosed = false

  const relayOf = ({ relay }: Delivery) => relay === undefined ? undefined : relays.get(relay)

  const queue = createRelayQueue({
    registry,
    receiptTimeout,
    isTimed: times !== undefined,
    publish,
    isOpen: ({ id }) => relays.has(id),
    abandon,
    confirmed (relay, isRouted, isHere) {
      if (isRouted && relay.isRefused && isLeft(relay)) again(relay)
      else if (isRouted && isHere && isLeft(relay)) takeBack(relay)
      else listener.peersAnswered(relay.delivery, isRouted)
    }
  })

  /** Whether no connection has the delivery, neither here nor on a peer. */
  function isLeft ({ takers, delivery: { holders, isSentHere, isWaiting, isSettled } }: Relay): boolean {
    return takers.size === 0 && holders.length === 0 && !isSentHere && !isWaiting && !isSettled
  }

  /**
   * The user had connections here when the relay was published, but none of them has the delivery. Delivers to the
   * connections that the user has now, or publishes the relay again if there are none.
   */
  function takeBack (relay: Relay): void {
    const { delivery } = relay
    if (registry.of(delivery.userId).length > 0) listener.peersAnswered(delivery, false)
    else again(relay)
  }

  function again (relay: Relay): void {
    if (relay.delivery.isGone) return abandon(relay)
    queue.add(relay)
    queue.answered(relay)
  }

  function forget (relay: Relay): void {
    relays.delete(relay.id)
    queue.answered(relay)
    if (relays.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  /** The broker will redeliver the message. */
  function abandon (relay: Relay): void {
    const { delivery } = relay
    // A peer may have the delivery. Don't wait for its receipt, or other deliveries that join this one never settle.
    if (delivery.holders.length === 0 && !delivery.isWaiting && !delivery.isSettled) listener.abandon(delivery)
    forget(relay)
  }

  function tick (): void {
    const now = performance.now()
    if (now - rotatedAt > 2 * receiptTimeout) {
      older = recent
      recent = new Map()
      rotatedAt = now
    }
    for (const relay of [...relays.values()]) {
      const { delivery, deadline, patience, state, batch } = relay
      if (delivery.isGone) abandon(relay)
      else if (state !== 'confirmed' && patience < now && relay.takers.size === 0 && delivery.origin?.returns !== true) giveUp(relay)
      else if (state === 'queued' || deadline > now) continue
      else if (batch !== undefined) queue.overdue(relay)
      // Connections here have the delivery, or it waits for room.
      else if (delivery.holders.length > 0 || delivery.isWaiting) relay.deadline = now + receiptTimeout
      else {
        relay.takers.clear()
        delivery.redelivered = true
        queue.add(relay)
      }
    }
    queue.resume()
  }

  /** The broker has not confirmed in time. Settles with what was sent here; otherwise the call of notify() fails. */
  function giveUp (relay: Relay): void {
    const { delivery } = relay
    if (delivery.isSentHere) listener.peersAnswered(delivery, true)
    else if (isLeft(relay)) listener.fail(delivery, new errors.PublishTimeout('the other instances', publishTimeout))
    forget(relay)
  }

  /** The same when the application closes and no answer can arrive any more. A message returns to its queue. */
  function end (relay: Relay): void {
    const { delivery } = relay
    if (delivery.origin?.returns !== true) {
      if (delivery.isSentHere) listener.peersAnswered(delivery, true)
      else listener.fail(delivery, new errors.PublishFailed('the other instances', 'the application is closing'))
    }
    forget(relay)
  }

  /** How many of the connections are new: a peer may report the same connections several times. */
  function uncounted ({ counted }: Relay, inbox: string, connections: number): number {
    const before = counted.get(inbox) ?? 0
    counted.set(inbox, Math.max(before, connections))
    return Math.max(0, connections - before)
  }

  return {
    /** Relays a delivery to every peer that has its user. */
    deliver (delivery: Delivery): void {
      const known = relayOf(delivery)
      if (known === undefined) {
        const id = delivery.relay = nextId()
        const patience = delivery.origin?.returns === true ? Infinity : performance.now() + publishTimeout
        const relay: Relay = {
          id, delivery, trace: traceOf(delivery.origin), takers: new Set(), counted: new Map(), batch: undefined, state: 'queued', publishedAt: 0, deadline: 0, patience, attempts: 0, isRefused: false
        }
        relays.set(id, relay)
        timer ??= setInterval(tick, TICK)
        queue.add(relay)
        if (isClosed) queueMicrotask(() => end(relay)) // later, as the caller does not wait for it yet
      } else if (known.state === 'confirmed' && known.takers.size === 0) {
        again(known)
      }
    },

    /** A user's deliveries that no connection is known to have, the oldest first. */
    unanswered: (userId: string): Delivery[] => queue.of(userId).filter(isLeft).map(({ delivery }) => delivery),

    /** Whether the broker has yet to confirm the relay of a delivery. */
    isAsking (delivery: Delivery): boolean {
      const relay = relayOf(delivery)
      return relay !== undefined && relay.state !== 'confirmed'
    },

    /** The outcome of a delivery is known. */
    settled (delivery: Delivery, outcome: Outcome): void {
      const relay = relayOf(delivery)
      if (relay === undefined) return
      const state = toSettledState(outcome)
      if (awaitsAcks) recent.set(relay.id, state)
      for (const taker of relay.takers) tell(taker, [relay.id, state])
      forget(relay) // a queued relay is still published, for the user's connections on peers
    },

    /** A delivery has failed, and its caller has been told. */
    failed (delivery: Delivery): void {
      const relay = relayOf(delivery)
      if (relay !== undefined) forget(relay)
    },

    /** A receipt has arrived from an inbox. */
    receipt (inbox: string, [id, state, connections]: Receipt): void {
      const relay = relays.get(id)
      if (relay === undefined) {
        const outcome = recent.get(id) ?? older.get(id)
        if (state === 'taken' && outcome !== undefined) tell(inbox, [id, outcome])
        return
      }
      const { delivery, takers } = relay
      times?.receipt(state, relay.publishedAt)
      if (state === 'taken') {
        delivery.connections += uncounted(relay, inbox, connections)
        takers.add(inbox)
        relay.deadline = performance.now() + receiptTimeout
        queue.answered(relay)
      } else if (state === 'nobody') {
        // If the `taken` receipt was lost, the count of connections shows that clients had the notification.
        if (takers.delete(inbox) || connections > 0) delivery.redelivered = true
        // The peer has unbound the user. The next publish reaches another peer, or the broker returns it.
        if (relay.state === 'published') relay.isRefused = true
        else if (relay.state === 'confirmed' && isLeft(relay) && relay.attempts < MAX_ATTEMPTS) again(relay)
      } else {
        takers.delete(inbox)
        listener.peerSettled(delivery, state, uncounted(relay, inbox, connections))
      }
    },

    /** Peers can be reached again. */
    resume: queue.resume,

    close (): void {
      isClosed = true
      for (const relay of [...relays.values()]) end(relay)
      queue.close()
    }
  }
}
