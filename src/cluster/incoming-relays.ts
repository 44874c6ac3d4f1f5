import type { FastifyBaseLogger } from 'fastify'
import { Delivery } from '../delivery/delivery.js'
import type { Result } from '../delivery/doors.js'
import { fromJson } from '../delivery/notification.js'
import { withoutText } from '../without-text.js'
import { toReceiptState, type Receipt, type RelayedItem, type ReceiptState, type SettledState } from './protocol.js'

/** Whose relays they are: an instance, and its inbox now. */
export interface Sender {
  readonly instance: string
  readonly inbox: string
}

/** What was asked of us by one instance. */
interface Visit {
  /** Where it takes answers now. */
  inbox: string
  /** Without an outcome yet. */
  readonly pending: Map<number, Delivery>
  /** With one, in two generations: a relay that comes again has the same answer, and is not delivered again. */
  done: Map<number, Receipt>
  older: Map<number, Receipt>
}

export interface GuestsParts {
  log: FastifyBaseLogger
  /** How long a receipt may be on its way, in milliseconds. */
  receiptTimeout: number
  /** Hands it to the user's connections; `offline` where there is none. */
  host (delivery: Delivery): Result | Promise<Result>
  /** Makes sure that the user is not bound here any more, if nobody of them is. */
  leave (userId: string): Promise<void>
  /** Sends a receipt to an inbox. */
  reply (inbox: string, receipt: Receipt): void
  settledElsewhere (delivery: Delivery, outcome: SettledState, connections: number): void
}

/** What other instances ask to be delivered here, each once, however often they ask. */
export function createGuests ({ log, receiptTimeout, host, leave, reply, settledElsewhere }: GuestsParts) {
  const visits = new Map<string, Visit>()
  let timer: NodeJS.Timeout | undefined

  function visitOf ({ instance, inbox }: Sender): Visit {
    let visit = visits.get(instance)
    if (visit === undefined) visits.set(instance, visit = { inbox, pending: new Map(), done: new Map(), older: new Map() })
    visit.inbox = inbox
    timer ??= setInterval(forget, 3 * receiptTimeout) // by then it would have been asked again
    return visit
  }

  function forget (): void {
    for (const [instance, visit] of visits) {
      visit.older = visit.done
      visit.done = new Map()
      if (visit.older.size === 0 && visit.pending.size === 0) visits.delete(instance)
    }
    if (visits.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  async function conclude (visit: Visit, relay: number, userId: string, { outcome, connections }: Result): Promise<void> {
    const state: ReceiptState = toReceiptState(outcome)
    visit.pending.delete(relay)
    const receipt: Receipt = [relay, state, connections]
    if (state === 'nobody') await leave(userId)
    else visit.done.set(relay, receipt)
    reply(visit.inbox, receipt)
  }

  return {
    /** An instance has something for a user who is bound here. */
    receive (sender: Sender, userId: string, items: readonly RelayedItem[]): void {
      const visit = visitOf(sender)
      for (const { relay, id, json, position, expiresAt = Infinity, redelivered = false, trace } of items) {
        const known = visit.done.get(relay) ?? visit.older.get(relay)
        const pending = visit.pending.get(relay)
        if (known !== undefined) reply(sender.inbox, known)
        else if (pending !== undefined) {
          if (redelivered) pending.redelivered = true // meanwhile another instance may have had it
          reply(sender.inbox, [relay, 'taken', pending.connections])
        } else {
          const delivery = new Delivery({ ...fromJson(userId, id, json), trace }, undefined, position, expiresAt, 'guest')
          delivery.redelivered = redelivered
          visit.pending.set(relay, delivery)
          let result: Result | Promise<Result>
          try {
            result = host(delivery)
          } catch (err) {
            log.error({ error: withoutText(err), userId }, 'relay failed unexpectedly') // the others go on; this one is asked for again
            visit.pending.delete(relay)
            continue
          }
          if (!(result instanceof Promise)) {
            conclude(visit, relay, userId, result)
            continue
          }
          reply(sender.inbox, [relay, 'taken', delivery.connections])
          // It may have been told meanwhile that somebody else has it.
          result.then(result => { if (visit.pending.has(relay)) conclude(visit, relay, userId, result) }, () => visit.pending.delete(relay))
        }
      }
    },

    /** Somebody else has it. */
    settled ({ instance }: Sender, relay: number, outcome: SettledState): void {
      const visit = visits.get(instance)
      const delivery = visit?.pending.get(relay)
      if (visit === undefined || delivery === undefined) return
      visit.pending.delete(relay)
      visit.done.set(relay, [relay, outcome, 0])
      settledElsewhere(delivery, outcome, 0)
    },

    close (): void {
      clearInterval(timer)
      visits.clear()
    }
  }
}
