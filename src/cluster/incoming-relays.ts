import type { FastifyBaseLogger } from 'fastify'
import { Delivery } from '../delivery/delivery.js'
import type { Result } from '../delivery/doors.js'
import { fromJson } from '../delivery/notification.js'
import { withoutText } from '../without-text.js'
import { toReceiptState, type Receipt, type RelayedItem, type ReceiptState, type SettledState } from './protocol.js'

/** The instance that sent a message, and the current name of its inbox. */
export interface Sender {
  readonly instance: string
  readonly inbox: string
}

/** The relays that one other instance has sent. */
interface Peer {
  /** The current name of its inbox, for the receipts. */
  inbox: string
  /** Relays that have no outcome yet. */
  readonly pending: Map<number, Delivery>
  /**
   * Receipts of relays that have an outcome, in two generations. A relay that arrives again gets the same receipt, and
   * is not delivered again.
   */
  done: Map<number, Receipt>
  older: Map<number, Receipt>
}

export interface IncomingRelaysParts {
  log: FastifyBaseLogger
  /** How long a receipt may take, in milliseconds. */
  receiptTimeout: number
  /** Hands a delivery to the user's connections. The outcome is `offline` if there are none. */
  host (delivery: Delivery): Result | Promise<Result>
  /** Unbinds the user from this inbox, unless the user has a connection here. */
  leave (userId: string): Promise<void>
  /** Sends a receipt to an inbox. */
  reply (inbox: string, receipt: Receipt): void
  settledElsewhere (delivery: Delivery, outcome: SettledState, connections: number): void
}

/** Delivers what peers relay to this instance. Each relay is delivered once, however often it arrives. */
export function createIncomingRelays ({ log, receiptTimeout, host, leave, reply, settledElsewhere }: IncomingRelaysParts) {
  const peers = new Map<string, Peer>()
  let timer: NodeJS.Timeout | undefined

  function peerOf ({ instance, inbox }: Sender): Peer {
    let peer = peers.get(instance)
    if (peer === undefined) peers.set(instance, peer = { inbox, pending: new Map(), done: new Map(), older: new Map() })
    peer.inbox = inbox
    timer ??= setInterval(forget, 3 * receiptTimeout) // by then the peer would have repeated the relay
    return peer
  }

  function forget (): void {
    for (const [instance, peer] of peers) {
      peer.older = peer.done
      peer.done = new Map()
      if (peer.older.size === 0 && peer.pending.size === 0) peers.delete(instance)
    }
    if (peers.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  async function conclude (peer: Peer, relay: number, userId: string, { outcome, connections }: Result): Promise<void> {
    const state: ReceiptState = toReceiptState(outcome)
    peer.pending.delete(relay)
    const receipt: Receipt = [relay, state, connections]
    if (state === 'nobody') await leave(userId)
    else peer.done.set(relay, receipt)
    reply(peer.inbox, receipt)
  }

  return {
    /** A peer relays notifications for a user who is bound here. */
    receive (sender: Sender, userId: string, items: readonly RelayedItem[]): void {
      const peer = peerOf(sender)
      for (const { relay, id, json, position, expiresAt = Infinity, redelivered = false, trace } of items) {
        const known = peer.done.get(relay) ?? peer.older.get(relay)
        const pending = peer.pending.get(relay)
        if (known !== undefined) reply(sender.inbox, known)
        else if (pending !== undefined) {
          if (redelivered) pending.redelivered = true // another instance may have delivered it meanwhile
          reply(sender.inbox, [relay, 'taken', pending.connections])
        } else {
          const delivery = new Delivery({ ...fromJson(userId, id, json), trace }, undefined, position, expiresAt, 'guest')
          delivery.redelivered = redelivered
          peer.pending.set(relay, delivery)
          let result: Result | Promise<Result>
          try {
            result = host(delivery)
          } catch (err) {
            log.error({ error: withoutText(err), userId }, 'relay failed unexpectedly') // the other items continue; the peer repeats this one
            peer.pending.delete(relay)
            continue
          }
          if (!(result instanceof Promise)) {
            conclude(peer, relay, userId, result)
            continue
          }
          reply(sender.inbox, [relay, 'taken', delivery.connections])
          // settled() may have removed the relay meanwhile.
          result.then(result => { if (peer.pending.has(relay)) conclude(peer, relay, userId, result) }, () => peer.pending.delete(relay))
        }
      }
    },

    /** Another instance has settled a relay. */
    settled ({ instance }: Sender, relay: number, outcome: SettledState): void {
      const peer = peers.get(instance)
      const delivery = peer?.pending.get(relay)
      if (peer === undefined || delivery === undefined) return
      peer.pending.delete(relay)
      peer.done.set(relay, [relay, outcome, 0])
      settledElsewhere(delivery, outcome, 0)
    },

    close (): void {
      clearInterval(timer)
      peers.clear()
    }
  }
}
