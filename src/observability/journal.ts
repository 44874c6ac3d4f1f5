import type { Connection } from '../websocket/connection.js'
import type { QueueMessage } from '../rabbitmq/queue-message.js'
import type { DeadLetterReason, Observer, Origin, Outcome, Result } from '../delivery/doors.js'
import { describeValue, type Notification } from '../delivery/notification.js'
import { errors } from '../errors.js'
import { isId } from '../ids.js'

type From = 'queue' | 'notify' | 'hold' | 'relay'

/** One event in the journal. The journal never keeps the content of a notification. */
export interface TraceEntry {
  readonly at: Date
  /**
   * For a notification, its outcome or one of:
   * - `dropped`: the hold dropped it unseen
   * - `abandoned`: the channel had died, so the broker redelivers it
   * - `failed`: the call of `notify()` has failed, or there was an unexpected error
   *
   * For a connection:
   * - `connected`
   * - `closing`: this server closes it
   * - `disconnected`: it has ended; there is no code if `unregister()` released it
   */
  readonly event: Outcome | 'dropped' | 'abandoned' | 'failed' | 'connected' | 'closing' | 'disconnected'
  /**
   * Why the event happened: the reason of a dead letter; `relayed` if a peer told the outcome; `repeated` if the hold
   * had the notification already; why the hold dropped it; the code of an error.
   */
  readonly reason?: DeadLetterReason | 'relayed' | 'repeated' | 'overflow' | 'expired' | (string & {})
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

/** Selects the entries of a user, of a notification, or of a notification of a user. */
export type TraceFilter = { userId: string, id?: string | undefined } | { userId?: string | undefined, id: string }

export type Journal = ReturnType<typeof createJournal>

/**
 * Keeps the latest events in memory. They show why a user did not get a notification.
 * @param size how many entries to keep
 */
export function createJournal (size: number) {
  /** A ring buffer: when it is full, the entry at `next` is the oldest. */
  const entries: Entry[] = []
  let next = 0

  function add (event: TraceEntry['event'], userId: string | undefined, id?: string): Entry {
    const entry = new Entry(event, userId, id)
    entries[next] = entry
    next = (next + 1) % size
    return entry
  }

  function addOutcome (userId: string, id: string, from: From, { outcome, connections }: Result): Entry {
    const entry = add(outcome, userId, id)
    entry.from = from
    entry.connections = connections
    if (outcome === 'dead-lettered') entry.reason = 'offline'
    return entry
  }

  function abandoned ({ userId, payload: { id } }: Notification, origin: Origin | undefined): void {
    const entry = add('abandoned', userId, id)
    entry.from = 'queue'
    entry.queue = origin?.queue
  }

  const observer: Partial<Observer> = {
    abandoned,

    rejected (origin, reason, notification) {
      const { messageId } = (origin as QueueMessage).message.properties
      const entry = add('dead-lettered', notification?.userId, notification?.payload.id ?? (isId(messageId) ? messageId : undefined))
      entry.reason = reason
      entry.from = 'queue'
      entry.queue = origin.queue
    },

    settled (notification, origin, kind, result, circumstance) {
      if (kind === 'guest' && result.outcome === 'offline') return // the user is not here: the peer that asked continues
      if (circumstance === 'joined' && origin?.returns !== false) return // the delivery that was joined has an entry; a call gets its own entry too
      const { userId, payload: { id } } = notification
      const from = kind === 'held' ? 'hold' : kind === 'guest' ? 'relay' : origin?.queue === undefined ? 'notify' : 'queue'
      const entry = addOutcome(userId, id, from, result)
      entry.queue = origin?.queue
      if (circumstance !== undefined && circumstance !== 'joined' && kind === 'own') entry.reason = circumstance
      if (origin?.gone?.aborted === true) abandoned(notification, origin)
    },

    failed (notification, origin, error) {
      if (origin === undefined) return // for a guest, the peer that asked continues
      if (origin.gone?.aborted === true) return abandoned(notification, origin)
      const entry = add('failed', notification.userId, notification.payload.id)
      entry.from = origin?.queue === undefined ? 'notify' : 'queue'
      entry.queue = origin?.queue
      entry.reason = (error as { code?: string }).code
    },

    settledLate (userId, id) {
      addOutcome(userId, id, 'hold', { outcome: 'acknowledged', connections: 1 })
    }
  }

  return {
    observer,

    /** The hold dropped notifications of a user unseen. */
    dropped (reason: 'overflow' | 'expired', count: number, userId: string, ids: readonly (string | undefined)[] = [undefined]): void {
      for (const id of ids) {
        const entry = add('dropped', userId, id)
        entry.reason = reason
        entry.from = 'hold'
        if (id === undefined) entry.count = count
      }
    },

    connection ({ id: connectionId, userId }: Connection, event: 'connected' | 'closing' | 'disconnected', code?: number): void {
      const entry = add(event, userId)
      entry.connectionId = connectionId
      entry.code = code
    },

    /**
     * @returns copies of the entries, the newest last
     * @throws FST_NOTIFICATION_INVALID_USER_ID if the filter names neither a user nor a notification
     */
    trace (filter?: TraceFilter): TraceEntry[] {
      if (filter !== undefined && filter.userId === undefined && filter.id === undefined) throw new errors.InvalidUserId('given, or an id', describeValue(undefined))
      const { userId, id } = filter ?? {}
      const ordered = entries.length < size ? entries : [...entries.slice(next), ...entries.slice(0, next)]
      return ordered
        .filter(entry => (userId === undefined || entry.userId === userId) && (id === undefined || entry.id === id))
        .map(toTraceEntry)
    }
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
  return { at: new Date(at), ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) } as unknown as TraceEntry
}
