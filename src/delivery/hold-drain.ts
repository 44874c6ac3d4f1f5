import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { ByPosition } from './by-position.js'
import { Delivery } from './delivery.js'
import type { InFlight } from './in-flight.js'
import { fromJson } from '../rabbitmq/message.js'
import type { Registry } from './registry.js'
import { createRemovals } from './hold-removals.js'
import type { Held, HoldStore } from '../hold/store.js'

/** So many are read from the store at a time. */
const BATCH = 100

/** Waits between tries while the store can't be reached, in milliseconds: doubled each time. */
const MIN_RETRY = 100
const MAX_RETRY = 5_000

/** A user's notifications on their way into the store and out of it. While there is one, nothing newer overtakes it. */
interface Line {
  /** Not kept yet. */
  readonly adding: ByPosition<Delivery, Delivery>
  isDraining: boolean
  /** The last one that was delivered; undefined to begin with the oldest. */
  cursor: Held | undefined
  /** The position of the last one that was read to be delivered: what is kept before it was missed. */
  reached: number
  /** The position of the oldest that was kept since the last read began: the read may have missed it. */
  firstKept: number
  /** Changes with everything that is worth another look. */
  version: number
  /** Whether one was kept before those that were read: then reading begins anew. */
  isRewound: boolean
  /** What was settled since the last read was asked for: the read may have it nevertheless. */
  settled: Set<string>
  wake (): void
}

export type Lines = ReturnType<typeof createLines>

export interface LinesParts {
  store: HoldStore
  registry: Registry
  inFlight: Pick<InFlight, 'hasRoom' | 'offer' | 'relieved' | 'find'>
  log: FastifyBaseLogger
  /** A delivery is kept; or the store had it already; or it is not kept, as there was no room for it. */
  kept (delivery: Delivery, outcome: 'held' | 'known' | 'offline'): void
  /** A delivery that is not from the queue could not be kept. */
  failed (delivery: Delivery, error: unknown): void
  /** A delivery was not kept before its channel died: the broker delivers it again. */
  abandoned (delivery: Delivery): void
  /** What a client said late that it has was in the store, and is no more. */
  settledLate (userId: string, id: string): void
}

/** Keeps what can't be delivered, and delivers it, the oldest first, as soon as it can be. */
export function createLines ({ store, registry, inFlight, log, kept, failed, abandoned, settledLate }: LinesParts) {
  const lines = new Map<string, Line>()
  const removals = createRemovals(store, settledLate)
  const keeping = new Set<Promise<void>>()
  const closed = new AbortController()
  setMaxListeners(0, closed.signal) // each call that is tried again listens to it
  let isFailing = false

  function lineOf (userId: string): Line {
    let line = lines.get(userId)
    if (line === undefined) {
      line = { adding: new ByPosition(delivery => delivery), isDraining: false, cursor: undefined, reached: -Infinity, firstKept: Infinity, version: 0, isRewound: false, settled: new Set(), wake () {} }
      lines.set(userId, line)
    }
    return line
  }

  function prune (userId: string, line: Line): void {
    if (line.adding.size === 0 && !line.isDraining) lines.delete(userId)
  }

  function touch (line: Line): void {
    line.version++
    line.wake()
  }

  /** @param relieved what is waited for besides, until the signal aborts: it may take long, and be asked for often */
  async function changed (line: Line, relieved: (over: AbortSignal) => Array<Promise<void>> = () => []): Promise<void> {
    const over = new AbortController()
    await Promise.race([new Promise<void>(resolve => { line.wake = resolve }), ...relieved(over.signal)])
    over.abort()
  }

  /** Calls the store until it answers; undefined if that isn't worth it any more. */
  async function insist<T> (call: () => Promise<T>, isWanted: () => boolean): Promise<T | undefined> {
    for (let wait = MIN_RETRY; ; wait = Math.min(2 * wait, MAX_RETRY)) {
      try {
        const result = await call()
        if (isFailing) log.info('hold works again')
        isFailing = false
        return result
      } catch (err) {
        if (!isFailing) log.warn({ err }, 'hold failed')
        isFailing = true
      }
      await delay(wait, undefined, { signal: closed.signal }).catch(() => {})
      if (closed.signal.aborted || !isWanted()) return undefined
    }
  }

  /** Who calls notify() is told at once; a message waits with the broker, for as long as the broker waits for us. */
  async function keep (line: Line, delivery: Delivery): Promise<void> {
    const { userId, id, position, expiresAt, origin } = delivery
    const add = () => store.add(userId, { id, content: delivery.notification.payload.json, position, expiresAt })
    try {
      const added = origin === undefined ? await add() : await insist(add, () => !delivery.isGone)
      if (added === 'known') kept(delivery, 'known')
      else if (added !== undefined) kept(delivery, added.includes(id) ? 'offline' : 'held')
      else if (delivery.isGone) abandoned(delivery)
    } catch (error) {
      failed(delivery, error)
    } finally {
      line.adding.delete(delivery)
      line.firstKept = Math.min(line.firstKept, position)
      touch(line)
      lookAgain(userId, position)
      prune(userId, line)
    }
  }

  /** Begins again where one came in front of those that were read. */
  function lookAgain (userId: string, position: number): void {
    const line = lines.get(userId)
    if (line !== undefined && position <= line.reached) line.isRewound = true
    if (registry.of(userId).length > 0) start(userId)
  }

  function start (userId: string): void {
    if (closed.signal.aborted) return
    const line = lineOf(userId)
    touch(line)
    if (line.isDraining) return
    line.isDraining = true
    line.isRewound = true
    drain(userId, line).catch((err: unknown) => log.error({ err, userId }, 'hold not drained'))
  }

  async function drain (userId: string, line: Line): Promise<void> {
    const isWanted = () => registry.of(userId).length > 0 && !closed.signal.aborted
    try {
      while (isWanted()) {
        if (line.isRewound) {
          line.cursor = undefined
          line.reached = -Infinity
        }
        line.isRewound = false
        line.firstKept = Infinity
        const { version } = line
        line.settled = new Set(removals.of(userId))
        const held = await insist(() => store.read(userId, line.cursor, BATCH), isWanted)
        if (held === undefined) return
        // What isn't kept yet has its place before those that came later.
        const first = Math.min(line.adding.first?.position ?? Infinity, line.firstKept)
        const ready = held.filter(({ position }) => position < first)
        line.reached = ready.at(-1)?.position ?? line.reached
        if (ready.length > 0) await deliver(userId, line, ready, isWanted)
        else if (line.version !== version) continue
        else if (line.adding.size === 0) return
        else await changed(line)
      }
    } finally {
      // In the turn in which nothing was left: what comes next need not wait, or starts anew.
      line.isDraining = false
      prune(userId, line)
    }
  }

  async function deliver (userId: string, line: Line, ready: readonly Held[], isWanted: () => boolean): Promise<void> {
    for (const held of ready) {
      const delivery = new Delivery(fromJson(userId, held.id, held.content), held.position, held.expiresAt, undefined, 'held')
      delivery.redelivered = true // perhaps: the store doesn't know
      const isDone = () => line.settled.has(held.id) || inFlight.find(userId, held.id) !== undefined
      while (true) {
        if (!isWanted() || line.isRewound) return
        if (isDone() || (inFlight.hasRoom(userId) && inFlight.offer(delivery))) break
        await changed(line, over => inFlight.relieved(userId, over))
      }
      line.cursor = held
    }
  }

  return {
    /** Whether something of a user waits, or may wait: then what comes now has to wait too. */
    has: (userId: string): boolean => lines.has(userId),

    /** Keeps a delivery, whose outcome is known when it is kept. */
    add (delivery: Delivery): void {
      const line = lineOf(delivery.userId)
      line.adding.add(delivery)
      const kept = keep(line, delivery).finally(() => keeping.delete(kept))
      keeping.add(kept)
    },

    /**
     * A user has one connection more, or another instance has put something into the store: it may have its place before
     * what was read already. What waits comes before anything newer.
     */
    opened (userId: string): void {
      const line = lines.get(userId)
      if (line?.isDraining === true) line.isRewound = true
      start(userId)
    },

    /** There may be room at a user's connections, or none of them left. */
    changed (userId: string): void {
      const line = lines.get(userId)
      if (line !== undefined) touch(line)
    },

    /** A held delivery is the store's alone again: the connections that had it have ended. */
    released: ({ userId, position }: Delivery): void => lookAgain(userId, position),

    /** A held delivery is settled; or, late, a client says that it has something that may be held. */
    remove (userId: string, id: string, isLate?: boolean): void {
      const line = lines.get(userId)
      if (line?.isDraining === true) line.settled.add(id)
      removals.add(userId, id, isLate)
    },

    /** Stops delivering, and resolves when what was on its way to the store is there, or can't be kept. */
    async close (): Promise<void> {
      await removals.flush()
      closed.abort()
      for (const line of lines.values()) touch(line)
      await Promise.all(keeping)
    }
  }
}
