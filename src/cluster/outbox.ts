import type { Delivery, Outcome } from '../delivery.js'
import { errors } from '../errors.js'
import type { Times } from '../metrics/index.js'
import type { Registry } from '../registry.js'
import { encodeItem, type Receipt, type SettledItem } from './protocol.js'

/** So many notifications of a user go in one message at most, and so many bytes, but for a single larger one. */
const MAX_ITEMS = 100
const MAX_BYTES = 262_144

/** How many times what nobody took is published again at once, before it waits for the next look. */
const MAX_ATTEMPTS = 10

/** How often is looked for what has no answer, in milliseconds. */
const TICK = 500

/** A delivery on its way to other instances. */
interface Relay {
  readonly id: number
  readonly delivery: Delivery
  /** Inboxes of those who have it, and have not told its outcome. */
  readonly takers: Set<string>
  /** How many connections of each inbox have been counted. */
  readonly counted: Map<string, number>
  /** The message that it is in, until all of that is answered. */
  batch: Batch | undefined
  state: 'queued' | 'published' | 'confirmed'
  /** When it was published, by `performance.now()`, with `metrics`. */
  publishedAt: number
  /** When it is published again, in milliseconds since 1970. */
  deadline: number
  /** Until when the broker must have confirmed it, where somebody waits who can be told that it has not. */
  readonly patience: number
  attempts: number
  /** An instance has told that nobody there takes it, before the broker has confirmed it. */
  isRefused: boolean
}

/** What was published in one message. */
interface Batch {
  readonly line: Line
  readonly waiting: Set<Relay>
  /** Whether connections here have it, too: then nobody need answer. */
  readonly isHere: boolean
  isConfirmed: boolean
}

/**
 * The relays of one user. One message of them is under way at a time, and what comes meanwhile goes together in the next:
 * else one could be returned, the user connect, and a newer one overtake it.
 */
interface Line {
  readonly userId: string
  queue: Relay[]
  batch: Batch | undefined
}

export type Outbox = ReturnType<typeof createOutbox>

export interface OutboxParts {
  registry: Registry
  /** Whether clients acknowledge. */
  awaitsAcks: boolean
  /** How long an answer may take, in milliseconds; then it is published again. */
  receiptTimeout: number
  /** How long the broker may take to confirm what did not come from the queue, in milliseconds. */
  publishTimeout: number
  /** With `metrics`. */
  times?: Times | undefined
  nextId (): number
  /**
   * Publishes to all who have the user; told whether there is one, undefined where it isn't known.
   * @param isHere whether what comes back to ourselves has been seen to
   */
  publish (userId: string, body: string, isHere: boolean, done: (isRouted: boolean | undefined) => void): void
  /** Tells an inbox what need not be acknowledged any more. */
  tell (inbox: string, settled: SettledItem): void
  /** Every other instance that has the user has it, or none has. */
  relayed (delivery: Delivery, isElsewhere: boolean): void
  /** Another instance tells its outcome. */
  settledElsewhere (delivery: Delivery, outcome: 'sent' | 'acknowledged' | 'held', connections: number): void
}

/** What the other instances are asked to deliver, from the first try until its outcome is known. */
export function createOutbox ({ registry, awaitsAcks, receiptTimeout, publishTimeout, times, nextId, publish, tell, relayed, settledElsewhere }: OutboxParts) {
  const relays = new Map<number, Relay>()
  const byId = new Map<string, Relay>()
  const lines = new Map<string, Line>()
  /** Outcomes that those who were slow to take a relay have yet to be told; in two generations. */
  let recent = new Map<number, boolean>()
  let older = new Map<number, boolean>()
  let rotatedAt = Date.now()
  let dirty = new Set<Line>()
  let scheduled: NodeJS.Immediate | undefined
  let timer: NodeJS.Timeout | undefined

  const relayOf = ({ relay }: Delivery) => relay === undefined ? undefined : relays.get(relay)
  const keyOf = (userId: string, id: string) => `${userId}\0${id}`

  function enqueue (relay: Relay): void {
    const { userId } = relay.delivery
    let line = lines.get(userId)
    if (line === undefined) lines.set(userId, line = { userId, queue: [], batch: undefined })
    insert(line, relay)
    dirty.add(line)
    scheduled ??= setImmediate(flush)
  }

  /** In the order of their numbers: what is published again has its old place. */
  function insert ({ queue }: Line, relay: Relay): void {
    relay.state = 'queued'
    const isNewest = queue.length === 0 || queue.at(-1)!.id < relay.id
    queue.push(relay)
    if (!isNewest) queue.sort((a, b) => a.id - b.id)
  }

  function flush (): void {
    scheduled = undefined
    const due = dirty
    dirty = new Set()
    for (const line of due) publishNext(line)
  }

  function publishNext (line: Line): void {
    if (line.batch !== undefined) return
    const taken: Relay[] = []
    const items: string[] = []
    const isHere = registry.of(line.userId).length > 0
    for (let bytes = 0; taken.length < MAX_ITEMS && line.queue.length > 0;) {
      const [relay] = line.queue
      if (relay!.delivery.isGone) {
        forget(line.queue.shift()!)
        continue
      }
      const item = encodeItem(relay!.id, relay!.delivery)
      bytes += item.length
      if (taken.length > 0 && bytes > MAX_BYTES) break
      taken.push(line.queue.shift()!)
      items.push(item)
    }
    if (taken.length === 0) {
      if (lines.get(line.userId) === line) lines.delete(line.userId)
      return
    }
    // Of what is settled already the others are only told.
    const batch: Batch = { line, waiting: new Set(taken.filter(({ id }) => relays.has(id))), isHere, isConfirmed: false }
    line.batch = batch
    for (const relay of taken) {
      relay.batch = batch
      relay.state = 'published'
      relay.deadline = Date.now() + receiptTimeout
      relay.attempts++
      if (times !== undefined) relay.publishedAt = performance.now()
      relay.isRefused = false
    }
    publish(line.userId, `[${items.join()}]`, isHere, isRouted => {
      if (line.batch !== batch) return // it was given up
      if (isRouted === undefined) putBack(line)
      else confirmed(batch, taken, isRouted)
    })
  }

  /** Nobody knows what became of a message: it is published again. */
  function putBack (line: Line): void {
    const { batch } = line
    line.batch = undefined
    if (batch === undefined) return
    for (const relay of batch.waiting) {
      relay.batch = undefined
      if (isWanted(relay)) insert(line, relay)
    }
    dirty.add(line)
  }

  function confirmed (batch: Batch, taken: Relay[], isRouted: boolean): void {
    const { line } = batch
    // What came meanwhile must not reach a user who connects now before what nobody had.
    const all = isRouted ? taken : [...taken, ...line.queue.splice(0)]
    batch.isConfirmed = true
    for (const relay of all) {
      relay.state = 'confirmed'
      const { id, delivery } = relay
      if (!isRouted) answered(relay)
      if (!relays.has(id)) continue
      if (isRouted && relay.isRefused && isLeft(relay)) again(relay)
      else if (isRouted && batch.isHere && isLeft(relay)) takeBack(relay)
      else relayed(delivery, isRouted)
    }
    goOn(batch)
  }

  /** Whether nobody has it, here or elsewhere. */
  function isLeft ({ takers, delivery: { holders, isSentHere, isWaiting, isSettled } }: Relay): boolean {
    return takers.size === 0 && holders === 0 && !isSentHere && !isWaiting && !isSettled
  }

  /** Connections here were to have it, and none has: they have ended, or begun, meanwhile. */
  function takeBack (relay: Relay): void {
    const { delivery } = relay
    if (registry.of(delivery.userId).length > 0) relayed(delivery, false)
    else again(relay)
  }

  /** A relay of a batch has its answer. */
  function answered (relay: Relay): void {
    const { batch } = relay
    relay.batch = undefined
    if (batch !== undefined && batch.waiting.delete(relay)) goOn(batch)
  }

  function goOn (batch: Batch): void {
    const { line, isConfirmed, isHere, waiting } = batch
    if (!isConfirmed || line.batch !== batch || (!isHere && waiting.size > 0)) return
    for (const relay of waiting) relay.batch = undefined
    line.batch = undefined
    publishNext(line)
  }

  /** Whether somebody still has to take it. */
  function isWanted ({ id, delivery }: Relay): boolean {
    return relays.has(id) && !delivery.isGone
  }

  function again (relay: Relay): void {
    if (!isWanted(relay)) return forget(relay)
    enqueue(relay)
    answered(relay)
  }

  function forget (relay: Relay): void {
    relays.delete(relay.id)
    byId.delete(keyOf(relay.delivery.userId, relay.delivery.id))
    answered(relay)
    if (relays.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  function tick (): void {
    const now = Date.now()
    if (now - rotatedAt > 2 * receiptTimeout) {
      older = recent
      recent = new Map()
      rotatedAt = now
    }
    for (const relay of [...relays.values()]) {
      const { delivery, deadline, patience, state, batch } = relay
      if (delivery.isGone) forget(relay)
      else if (state !== 'confirmed' && patience < now) giveUp(relay)
      else if (state === 'queued' || deadline > now) continue
      else if (batch !== undefined) putBack(batch.line)
      // Connections here have it, or it waits for one.
      else if (delivery.holders > 0 || delivery.isWaiting) relay.deadline = now + receiptTimeout
      else {
        relay.takers.clear()
        delivery.redelivered = true
        enqueue(relay)
      }
    }
    resume()
  }

  /** For who called notify(): connections here have it, or nobody. */
  function giveUp (relay: Relay): void {
    const { delivery } = relay
    if (delivery.isSentHere) relayed(delivery, true)
    else if (isLeft(relay)) delivery.fail(new errors.PublishTimeout('the other instances', publishTimeout))
    forget(relay)
  }

  function resume (): void {
    for (const line of lines.values()) dirty.add(line)
    if (dirty.size > 0) scheduled ??= setImmediate(flush)
  }

  /** Of some connections it is told several times. */
  function uncounted ({ counted }: Relay, inbox: string, connections: number): number {
    const before = counted.get(inbox) ?? 0
    counted.set(inbox, Math.max(before, connections))
    return Math.max(0, connections - before)
  }

  return {
    /** How many deliveries are on their way. */
    get size (): number {
      return relays.size
    },

    /** Hands a delivery to every other instance that has its user. */
    send (delivery: Delivery): void {
      const known = relayOf(delivery)
      if (known === undefined) {
        const id = delivery.relay = nextId()
        const patience = delivery.origin === undefined ? Date.now() + publishTimeout : Infinity
        const relay: Relay = {
          id, delivery, takers: new Set(), counted: new Map(), batch: undefined, state: 'queued', publishedAt: 0, deadline: 0, patience, attempts: 0, isRefused: false
        }
        relays.set(id, relay)
        byId.set(keyOf(delivery.userId, delivery.id), relay)
        timer ??= setInterval(tick, TICK)
        enqueue(relay)
      } else if (known.state === 'confirmed' && known.takers.size === 0) {
        again(known)
      }
    },

    /** What of a user is on its way under an id. */
    find: (userId: string, id: string): Delivery | undefined => byId.get(keyOf(userId, id))?.delivery,

    /** Whether the broker has not yet confirmed that it has a delivery for the other instances. */
    isUnderWay (delivery: Delivery): boolean {
      const relay = relayOf(delivery)
      return relay !== undefined && relay.state !== 'confirmed'
    },

    /** The outcome of a delivery is known. */
    settled (delivery: Delivery, outcome: Outcome): void {
      const relay = relayOf(delivery)
      if (relay === undefined) return
      const isAcknowledged = outcome === 'acknowledged'
      if (awaitsAcks) recent.set(relay.id, isAcknowledged)
      for (const taker of relay.takers) tell(taker, [relay.id, isAcknowledged])
      forget(relay) // queued, it is still told to the others, for the other connections of the user
    },

    /** An inbox tells what became of a relay. */
    receipt (inbox: string, [id, state, connections]: Receipt): void {
      const relay = relays.get(id)
      if (relay === undefined) {
        const isAcknowledged = recent.get(id) ?? older.get(id)
        if (state === 'taken' && isAcknowledged !== undefined) tell(inbox, [id, isAcknowledged])
        return
      }
      const { delivery, takers } = relay
      times?.receipt(state, relay.publishedAt)
      if (state === 'taken') {
        delivery.connections += uncounted(relay, inbox, connections)
        takers.add(inbox)
        relay.deadline = Date.now() + receiptTimeout
        answered(relay)
      } else if (state === 'nobody') {
        if (takers.delete(inbox)) delivery.redelivered = true
        // Its sender is not bound any more: now it reaches another one, or is returned.
        if (relay.state === 'published') relay.isRefused = true
        else if (relay.state === 'confirmed' && isLeft(relay) && relay.attempts < MAX_ATTEMPTS) again(relay)
      } else {
        takers.delete(inbox)
        settledElsewhere(delivery, state, uncounted(relay, inbox, connections))
      }
    },

    /** The way to the others is open again. */
    resume,

    close (): void {
      clearInterval(timer)
      clearImmediate(scheduled)
      relays.clear()
    }
  }
}
