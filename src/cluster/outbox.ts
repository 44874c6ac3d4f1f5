import type { Delivery } from '../delivery/delivery.js'
import type { Origin, Outcome } from '../delivery/doors.js'
import type { PeerListener } from '../delivery/peers.js'
import { errors } from '../errors.js'
import type { Registry } from '../delivery/registry.js'
import { toSettledState, type Receipt, type ReceiptState, type SettledItem, type SettledState } from './protocol.js'
import { createRelayQueue, type Relay, type RelayQueueParts } from './relay-queue.js'

/** How many times what nobody took is published again at once, before it waits for the next look. */
const MAX_ATTEMPTS = 10

/** How often is looked for what has no answer, in milliseconds. */
const TICK = 500

export type Outbox = ReturnType<typeof createOutbox>

/** Is told how long relays take. */
export interface RelayTimes {
  /** To be called when a relay is published: who is told is told after it was measured. */
  confirmed (done: (isRouted: boolean | undefined) => void): (isRouted: boolean | undefined) => void
  /**
   * An instance tells what became of a relay.
   * @param begun when it was published, in milliseconds of the monotonic clock
   */
  receipt (receipt: ReceiptState, begun: number): void
}

export interface OutboxParts {
  registry: Registry
  /** Whether clients acknowledge. */
  awaitsAcks: boolean
  /** How long an answer may take, in milliseconds; then it is published again. */
  receiptTimeout: number
  /** How long the broker may take to confirm what did not come from the queue, in milliseconds. */
  publishTimeout: number
  /** With `metrics`. */
  times?: RelayTimes | undefined
  nextId (): number
  publish: RelayQueueParts['publish']
  /** Tells an inbox what need not be acknowledged any more. */
  tell (inbox: string, settled: SettledItem): void
  listener: Pick<PeerListener, 'peersAnswered' | 'peerSettled' | 'abandon' | 'fail'>
  /** The trace of a delivery, for whoever goes on with it. */
  traceOf (origin: Origin | undefined): Record<string, string> | undefined
}

/** What the other instances are asked to deliver, from the first try until its outcome is known. */
export function createOutbox ({ registry, awaitsAcks, receiptTimeout, publishTimeout, times, nextId, publish, tell, listener, traceOf }: OutboxParts) {
  const relays = new Map<number, Relay>()
  /** Outcomes that those who were slow to take a relay have yet to be told; in two generations. */
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

  /** Whether nobody has it, here or elsewhere. */
  function isLeft ({ takers, delivery: { holders, isSentHere, isWaiting, isSettled } }: Relay): boolean {
    return takers.size === 0 && holders.length === 0 && !isSentHere && !isWaiting && !isSettled
  }

  /** Connections here were to have it, and none has: they have ended, or begun, meanwhile. */
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

  /** The broker will deliver it again. */
  function abandon (relay: Relay): void {
    const { delivery } = relay
    // A peer may have it: that one is not waited for, or whoever joins the delivery would wait for ever.
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
      // Connections here have it, or it waits for one.
      else if (delivery.holders.length > 0 || delivery.isWaiting) relay.deadline = now + receiptTimeout
      else {
        relay.takers.clear()
        delivery.redelivered = true
        queue.add(relay)
      }
    }
    queue.resume()
  }

  /** For who called notify(): connections here have it, or nobody. */
  function giveUp (relay: Relay): void {
    const { delivery } = relay
    if (delivery.isSentHere) listener.peersAnswered(delivery, true)
    else if (isLeft(relay)) listener.fail(delivery, new errors.PublishTimeout('the other instances', publishTimeout))
    forget(relay)
  }

  /** The same at the end, when no answer can come any more; a message goes back to the queue. */
  function end (relay: Relay): void {
    const { delivery } = relay
    if (delivery.origin?.returns !== true) {
      if (delivery.isSentHere) listener.peersAnswered(delivery, true)
      else listener.fail(delivery, new errors.PublishFailed('the other instances', 'the application is closing'))
    }
    forget(relay)
  }

  /** Of some connections it is told several times. */
  function uncounted ({ counted }: Relay, inbox: string, connections: number): number {
    const before = counted.get(inbox) ?? 0
    counted.set(inbox, Math.max(before, connections))
    return Math.max(0, connections - before)
  }

  return {
    /** Hands a delivery to every other instance that has its user. */
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
        if (isClosed) queueMicrotask(() => end(relay)) // by then it is waited for
      } else if (known.state === 'confirmed' && known.takers.size === 0) {
        again(known)
      }
    },

    /** What of a user nobody is known to have yet, the oldest first. */
    unanswered: (userId: string): Delivery[] => queue.of(userId).filter(isLeft).map(({ delivery }) => delivery),

    /** Whether the broker has not yet confirmed that it has a delivery for the other instances. */
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
      forget(relay) // queued, it is still told to the others, for the other connections of the user
    },

    /** Nobody takes a delivery over, and who waits for its outcome has been told. */
    failed (delivery: Delivery): void {
      const relay = relayOf(delivery)
      if (relay !== undefined) forget(relay)
    },

    /** An inbox tells what became of a relay. */
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
        // Where `taken` was lost, the connections tell that clients had it.
        if (takers.delete(inbox) || connections > 0) delivery.redelivered = true
        // Its sender is not bound any more: now it reaches another one, or is returned.
        if (relay.state === 'published') relay.isRefused = true
        else if (relay.state === 'confirmed' && isLeft(relay) && relay.attempts < MAX_ATTEMPTS) again(relay)
      } else {
        takers.delete(inbox)
        listener.peerSettled(delivery, state, uncounted(relay, inbox, connections))
      }
    },

    /** The way to the others is open again. */
    resume: queue.resume,

    close (): void {
      isClosed = true
      for (const relay of [...relays.values()]) end(relay)
      queue.close()
    }
  }
}
