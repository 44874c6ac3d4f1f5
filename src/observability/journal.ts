import type { Connection } from '../websocket/connection.js'
import type { QueueMessage } from '../rabbitmq/queue-message.js'
import type { DeadLetterReason, Observer, Origin, Outcome, Result } from '../delivery/doors.js'
import { describeValue, type Notification } from '../delivery/notification.js'
import { errors } from '../errors.js'
import { isId } from '../ids.js'

type From = 'queue' | 'notify' | 'hold' | 'relay'

/** Something that happened. What a notification says is never kept. */
export interface TraceEntry {
  readonly at: Date
  /**
   * An outcome; or, of a notification: `dropped` from the hold, unseen; `abandoned`, as the broker's channel had died, so
   * that the broker delivers it again; `failed`, as `notify()` has told who called it, or by an unexpected error. Of a connection: `connected`;
   * `closing`, by this server; `disconnected`, without a code where `unregister()` has let go of it.
   */
  readonly event: Outcome | 'dropped' | 'abandoned' | 'failed' | 'connected' | 'closing' | 'disconnected'
  /**
   * Why: that of a dead letter; `relayed`, where another instance told the outcome; `repeated`, where the hold had it
   * already; why the hold dropped it; the code of an error.
   */
  readonly reason?: DeadLetterReason | 'relayed' | 'repeated' | 'overflow' | 'expired' | (string & {})
  readonly userId?: string
  /** The notification's. */
  readonly id?: string
  /** Where the notification came from: the queue, a call on this instance, the hold, another instance. */
  readonly from?: From
  readonly queue?: string
  /** How many connections it was handed to. */
  readonly connections?: number
  /** How many were dropped, where their ids are not known. */
  readonly count?: number
  readonly connectionId?: string
  /** The close code. */
  readonly code?: number
}

/** Of whom or what: a user, a notification, or a notification of a user. */
export type TraceFilter = { userId: string, id?: string | undefined } | { userId?: string | undefined, id: string }

export type Journal = ReturnType<typeof createJournal>

/**
 * The last things that happened, in memory: by them can be told why a user did not get something.
 * @param size how many to keep
 */
export function createJournal (size: number) {
  /** A ring: when it is full, `next` is the oldest. */
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

  const observer: Observer = {
    received () {},
    hosted () {},
    abandoned,

    rejected (origin, reason, notification) {
      const { messageId } = (origin as QueueMessage).message.properties
      const entry = add('dead-lettered', notification?.userId, notification?.payload.id ?? (isId(messageId) ? messageId : undefined))
      entry.reason = reason
      entry.from = 'queue'
      entry.queue = origin.queue
    },

    settled (notification, origin, kind, result, circumstance) {
      if (kind === 'guest' && result.outcome === 'offline') return // nobody is here: the peer that asked goes on
      if (circumstance === 'joined' && origin?.returns !== false) return // there is an entry of the delivery; a caller has one too
      const { userId, payload: { id } } = notification
      const from = kind === 'held' ? 'hold' : kind === 'guest' ? 'relay' : origin?.queue === undefined ? 'notify' : 'queue'
      const entry = addOutcome(userId, id, from, result)
      entry.queue = origin?.queue
      if (circumstance !== undefined && circumstance !== 'joined' && kind === 'own') entry.reason = circumstance
      if (origin?.gone?.aborted === true) abandoned(notification, origin)
    },

    failed (notification, origin, error) {
      if (origin === undefined) return // of a guest: the peer that asked goes on
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

    /** The hold dropped some of a user's unseen. */
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
     * @returns copies, the newest last
     * @throws FST_NOTIFICATION_INVALID_USER_ID where the filter names neither a user nor a notification
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

/** As it is kept: all of one shape, which is much faster to make. */
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
