import type { Connection } from '../websocket/connection.js'
import { Delivery } from './delivery.js'
import type { Options } from '../options/schema.js'
import type { Registry } from './registry.js'

export type InFlight = ReturnType<typeof createInFlight>

export interface InFlightParts {
  options: Pick<Options, 'settle' | 'maxUnacked' | 'ackTimeout' | 'dismiss'>
  registry: Registry
  /** Somebody has it: handed to a socket, or said so by a client. */
  settled (delivery: Delivery, outcome: 'sent' | 'acknowledged'): void
  /** A connection has left something unacknowledged for too long. */
  onOverdue (connection: Connection): void
}

/** What was handed to connections, until one of its user's acknowledges it. */
export function createInFlight ({ options, registry, settled, onOverdue }: InFlightParts) {
  const { maxUnacked, ackTimeout, dismiss } = options
  const awaitsAcks = options.settle === 'acknowledged'
  /** Those that have something to acknowledge. */
  const busy = new Set<Connection>()

  const isFull = (connection: Connection) => awaitsAcks && connection.isRich && connection.unacked.size >= maxUnacked
  /** Whether nothing but slowness keeps it from being handed more. */
  const isTaking = (connection: Connection) => connection.isUsable && !isFull(connection)

  function hold (connection: Connection, delivery: Delivery): void {
    unackedOf(connection).set(delivery.id, delivery)
    busy.add(connection)
    delivery.holders++
  }

  function letGo (connection: Connection, id: string): void {
    if (connection.unacked.size > 0 && unackedOf(connection).delete(id) && connection.unacked.size === 0) busy.delete(connection)
  }

  return {
    /**
     * Hands a delivery to every connection of its user that has room for it.
     * @returns whether there was one
     */
    offer (delivery: Delivery): boolean {
      const { notification: { userId, payload }, redelivered } = delivery
      const holders: Connection[] = []
      let taken = 0
      for (const connection of registry.of(userId)) {
        if (isFull(connection) || !connection.send(payload, redelivered)) continue
        taken++
        if (awaitsAcks && connection.isRich) holders.push(connection)
      }
      if (taken === 0) return false
      delivery.connections += taken
      delivery.isWaiting = false
      // A client that can't acknowledge has it when it was sent; then nobody else need.
      if (holders.length < taken) {
        settled(delivery, 'sent')
        return true
      }
      delivery.deadline = performance.now() + ackTimeout
      for (const connection of holders) hold(connection, delivery)
      return true
    },

    /** Somebody else has it: the connections that it was handed to need not acknowledge it. */
    release ({ userId, id }: Delivery, isAcknowledged: boolean): void {
      for (const connection of registry.of(userId)) {
        letGo(connection, id)
        if (dismiss && isAcknowledged) connection.tell({ type: 'dismiss', id })
      }
    },

    /** It is in the hold now: the connections that it was handed to still have to acknowledge it, or the hold delivers it again. */
    held (delivery: Delivery): void {
      const { notification, userId, id, position, expiresAt, connections, holders, deadline } = delivery
      const held = new Delivery(notification, position, expiresAt, undefined, 'held')
      Object.assign(held, { connections, holders, deadline, redelivered: true })
      for (const connection of registry.of(userId)) {
        if (connection.unacked.get(id) === delivery) unackedOf(connection).set(id, held)
      }
    },

    /** What a user has been handed under an id and has not acknowledged. */
    find (userId: string, id: string): Delivery | undefined {
      for (const { unacked } of registry.of(userId)) {
        const delivery = unacked.get(id)
        if (delivery !== undefined) return delivery
      }
      return undefined
    },

    /** Whether a user has a connection that can be handed more at once. */
    hasRoom: (userId: string): boolean => registry.of(userId).some(connection => isTaking(connection) && !connection.isCongested),

    /** For each connection of a user that is only slow, resolves when it can take more, or nobody waits for that any more. */
    relieved: (userId: string, over: AbortSignal): Array<Promise<void>> => registry.of(userId).filter(isTaking).map(connection => connection.relieved(over)),

    /**
     * A client has said what it has.
     * @returns those ids that it was not waited for, no more than it can have been sent
     */
    acknowledged (connection: Connection, ids: readonly string[]): string[] {
      const unknown: string[] = []
      const others = registry.of(connection.userId).filter(other => other !== connection)
      for (const id of ids) {
        const delivery = connection.unacked.get(id)
        if (delivery === undefined) {
          if (!connection.spendClaim()) continue
          unknown.push(id)
        } else {
          letGo(connection, id)
          for (const other of others) letGo(other, id)
          settled(delivery, 'acknowledged')
        }
        if (dismiss) for (const other of others) other.tell({ type: 'dismiss', id })
      }
      return unknown
    },

    /**
     * A connection has ended.
     * @returns what nobody else has been handed, the oldest first
     */
    ended (connection: Connection): Delivery[] {
      busy.delete(connection)
      const released = [...connection.unacked.values()].filter(delivery => --delivery.holders === 0)
      if (connection.unacked.size > 0) unackedOf(connection).clear()
      return released
    },

    /** Looks for connections that took too long; the oldest of each comes first. */
    tick (): void {
      const now = performance.now()
      for (const connection of busy) {
        const [oldest] = connection.unacked.values()
        if (oldest!.deadline <= now) onOverdue(connection)
      }
    }
  }
}

/** Others only read it. */
function unackedOf (connection: Connection): Map<string, Delivery> {
  return connection.unacked as Map<string, Delivery>
}
