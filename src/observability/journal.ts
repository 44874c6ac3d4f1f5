import type { Connection } from '../websocket/connection.js'
import type { QueueMessage } from '../rabbitmq/queue-message.js'
import type { Circumstance, DeadLetterReason, Kind, Observer, Origin, Outcome, Result } from '../delivery/doors.js'
import { Multicast } from '../delivery/multicast.js'
import { describeValue, type Notification } from '../delivery/notification.js'
import type { WaitCause, Waiting } from '../delivery/waiting.js'
import { meaningOf } from '../close-codes.js'
import { isId } from '../ids.js'
import { errors } from '../errors.js'
import type { Waits } from './waits.js'

type From = 'queue' | 'notify' | 'hold' | 'relay'

/** One event in the journal. The journal never keeps the content of a notification. */
export interface TraceEntry {
  readonly at: Date
  /**
   * For a notification, its outcome or one of:
   * - `waiting`: it has no outcome yet; `reason` says what it waits for, and `at` since when
   * - `dropped`: the hold dropped it unseen
   * - `ignored`: the option `decode` took the message for no user
   * - `abandoned`: the channel had died, so the broker redelivers it
   * - `failed`: the call of `notify()` has failed, or there was an unexpected error
   *
   * For a connection:
   * - `connected`
   * - `closing`: this server closes it
   * - `disconnected`: it has ended; there is no code if `unregister()` released it
   */
  readonly event: Outcome | 'waiting' | 'dropped' | 'ignored' | 'abandoned' | 'failed' | 'connected' | 'closing' | 'disconnected'
  /**
   * Why the event happened: what a notification waits for; the reason of a dead letter; `relayed` if a peer told the outcome; `repeated` if the hold
   * had the notification already; why the hold dropped it; the code of an error; the close code in words.
   */
  readonly reason?: DeadLetterReason | WaitCause | 'relayed' | 'repeated' | 'overflow' | 'expired' | 'broken' | (string & {})
  readonly userId?: string
  /** The id of the notification. */
  readonly id?: string
  /** Where the notification came from: the queue, a call on this instance, the hold, or a peer. */
  readonly from?: From
  readonly queue?: string
  /** How many connections the notification was handed to. */
  readonly connections?: number
  /** How many notifications were dropped, if their ids are unknown. */
  readonly count?: number
  readonly connectionId?: string
  /** The close code. */
  readonly code?: number
}

/** Selects the entries of a user, of a notification, or of a notification of a user: at least one of the two is given. */
export interface TraceFilter {
  readonly userId?: string | undefined
  readonly id?: string | undefined
}

/** Keeps the latest events in memory. They show why a user did not get a notification. */
export class Journal implements Partial<Observer> {
  readonly #size: number
  /** A ring buffer: when it is full, the entry at `#next` is the oldest. */
  readonly #entries: Entry[] = []
  #next = 0

  /** @param size how many entries to keep */
  constructor (size: number) {
    this.#size = size
  }

  ignored (origin: Origin): void {
    const entry = this.#add('ignored', undefined, (origin as QueueMessage).messageId)
    entry.from = 'queue'
    entry.queue = origin.queue
  }

  rejected (origin: Origin, reason: DeadLetterReason, decoded: Notification | Multicast | undefined): void {
    const userId = decoded instanceof Multicast ? undefined : decoded?.userId
    const entry = this.#add('dead-lettered', userId, decoded?.payload.id ?? (origin as QueueMessage).messageId)
    entry.reason = reason
    entry.from = 'queue'
    entry.queue = origin.queue
  }

  settled (notification: Notification, origin: Origin | undefined, kind: Kind, result: Result, circumstance: Circumstance | undefined): void {
    if (kind === 'guest' && result.outcome === 'offline') return // the user is not here: the peer that asked continues
    if (circumstance === 'joined' && origin?.redelivers !== false) return // the delivery that was joined has an entry; a call gets its own entry too
    const { userId, payload: { id } } = notification
    const from = sourceOf(kind, origin)
    const entry = this.#addOutcome(userId, id, from, result)
    entry.queue = origin?.queue
    if (circumstance !== undefined && circumstance !== 'joined' && kind === 'own') entry.reason = circumstance
    if (origin?.gone?.aborted === true) this.abandoned(notification, origin)
  }

  abandoned ({ userId, payload: { id } }: Notification, origin: Origin | undefined): void {
    const entry = this.#add('abandoned', userId, id)
    entry.from = 'queue'
    entry.queue = origin?.queue
  }

  failed (notification: Notification, origin: Origin | undefined, error: unknown): void {
    if (origin === undefined) return // for a guest, the peer that asked continues
    if (origin.gone?.aborted === true) return this.abandoned(notification, origin)
    const entry = this.#add('failed', notification.userId, notification.payload.id)
    entry.from = origin.queue === undefined ? 'notify' : 'queue'
    entry.queue = origin.queue
    entry.reason = (error as { code?: string }).code
  }

  settledLate (userId: string, id: string): void {
    this.#addOutcome(userId, id, 'hold', { outcome: 'acknowledged', connections: 1 })
  }

  /** The hold dropped notifications of a user unseen. */
  dropped (reason: 'overflow' | 'expired' | 'broken', count: number, userId: string, ids: readonly (string | undefined)[] = [undefined]): void {
    for (const id of ids) {
      const entry = this.#add('dropped', userId, id)
      entry.reason = reason
      entry.from = 'hold'
      if (id === undefined) entry.count = count
    }
  }

  /** A connection has opened, is being closed, or has ended. */
  connection ({ id: connectionId, userId }: Connection, event: 'connected' | 'closing' | 'disconnected', code?: number): void {
    const entry = this.#add(event, userId)
    entry.connectionId = connectionId
    entry.code = code
  }

  /**
   * @param query undefined for everything
   * @returns copies of the entries, the newest last, then what has no outcome yet
   * @throws FST_NOTIFICATION_INVALID_USER_ID, FST_NOTIFICATION_INVALID_ID
   */
  trace (query: unknown, waits: Pick<Waits, 'list'>): TraceEntry[] {
    const filter = query === undefined ? {} : parseFilter(query)
    const { userId, id } = filter
    const entries = this.#entries
    const ordered = entries.length < this.#size ? entries : [...entries.slice(this.#next), ...entries.slice(0, this.#next)]
    const happened = ordered.filter(entry => (userId === undefined || entry.userId === userId) && (id === undefined || entry.id === id))
    return [...happened.map(toTraceEntry), ...waits.list(filter).slice(0, this.#size).map(toWaitingEntry)]
  }

  #add (event: TraceEntry['event'], userId: string | undefined, id?: string): Entry {
    const entry = new Entry(event, userId, id)
    this.#entries[this.#next] = entry
    this.#next = (this.#next + 1) % this.#size
    return entry
  }

  #addOutcome (userId: string, id: string, from: From, { outcome, connections }: Result): Entry {
    const entry = this.#add(outcome, userId, id)
    entry.from = from
    entry.connections = connections
    if (outcome === 'dead-lettered') entry.reason = 'offline'
    return entry
  }
}

/** An entry as it is kept. All entries have the same shape, which makes them much faster to create. */
class Entry {
  readonly at = Date.now()
  reason: string | undefined
  from: From | undefined
  queue: string | undefined
  connections: number | undefined
  count: number | undefined
  connectionId: string | undefined
  code: number | undefined

  constructor (readonly event: TraceEntry['event'], readonly userId: string | undefined, readonly id: string | undefined) {}
}

function toTraceEntry ({ at, ...rest }: Entry): TraceEntry {
  const entry = { ...rest, reason: rest.code === undefined ? rest.reason : meaningOf(rest.code) }
  return { at: new Date(at), ...Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined)) } as unknown as TraceEntry
}

function toWaitingEntry ({ userId, id, kind, origin, cause, since, connections }: Waiting): TraceEntry {
  const { queue } = origin ?? {}
  return {
    at: new Date(since),
    event: 'waiting',
    reason: cause,
    ...(userId !== undefined && { userId }),
    ...(id !== undefined && { id }),
    from: sourceOf(kind, origin),
    ...(queue !== undefined && { queue }),
    ...(cause === 'ack' && { connections })
  }
}

function sourceOf (kind: Kind, origin: Pick<Origin, 'queue'> | undefined): From {
  if (kind === 'own' || (kind === 'live' && origin !== undefined)) return origin?.queue === undefined ? 'notify' : 'queue'
  return kind === 'held' ? 'hold' : 'relay'
}

/**
 * Reads a filter, which may be the query of a request as it came: other members are ignored, and so is an empty text.
 * @throws FST_NOTIFICATION_INVALID_USER_ID, FST_NOTIFICATION_INVALID_ID
 */
function parseFilter (query: unknown): TraceFilter {
  const { userId, id } = (query ?? {}) as { userId?: unknown, id?: unknown }
  const filter = { userId: userId === '' ? undefined : userId, id: id === '' ? undefined : id }
  if (filter.userId !== undefined && !isId(filter.userId)) throw new errors.InvalidUserId('one user id, a string', describeValue(userId))
  if (filter.id !== undefined && !isId(filter.id)) throw new errors.InvalidId('one id, a string', describeValue(id))
  if (filter.userId === undefined && filter.id === undefined) throw new errors.InvalidUserId('given, or an id', describeValue(undefined))
  return filter as TraceFilter
}
