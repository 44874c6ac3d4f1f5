import type { Connection } from './connection.js'

/** Minimum number of slots per interval. */
const MIN_SLOTS = 25
/** Maximum time between two ticks, in milliseconds. */
const MAX_TICK = 1_000

export interface HeartbeatParts {
  /** How often each connection is pinged, in milliseconds. */
  interval: number
  /** How long a pong may take, in milliseconds. */
  timeout: number
  /** A client has not answered a ping in time. */
  onSilent (connection: Connection): void
  /** The credentials of a connection have expired. */
  onExpired (connection: Connection): void
  /** Called at each tick. */
  onTick (): void
}

/**
 * Pings every connection once per interval. One timer serves all connections: the interval is divided into slots, and
 * each tick pings the connections of one slot. A timer for each connection would cost more than the pings. Pinging all
 * connections at once would cause a spike of work and of traffic.
 */
export class Heartbeat {
  readonly #parts: HeartbeatParts
  readonly #tickLength: number
  /** How many ticks a pong may take. */
  readonly #timeoutTicks: number
  readonly #slots: ReadonlyArray<Set<Connection>>
  /** Connections whose credentials expire. */
  readonly #expiring = new Set<Connection>()
  #timer: NodeJS.Timeout | undefined
  #tickCount = 0
  #addedCount = 0
  #size = 0

  constructor (parts: HeartbeatParts) {
    const { interval, timeout } = this.#parts = parts
    const slotCount = Math.max(MIN_SLOTS, Math.ceil(interval / MAX_TICK))
    this.#tickLength = interval / slotCount
    this.#timeoutTicks = Math.max(1, Math.ceil(timeout / this.#tickLength))
    this.#slots = Array.from({ length: slotCount }, () => new Set<Connection>())
  }

  add (connection: Connection): void {
    connection.slot = this.#addedCount++ % this.#slots.length
    this.#slots[connection.slot]!.add(connection)
    this.#size++
    if (connection.expiresAt !== Infinity) this.#expiring.add(connection)
    this.#timer ??= setInterval(() => this.#tick(), this.#tickLength)
  }

  delete (connection: Connection): void {
    if (!this.#slots[connection.slot]!.delete(connection)) return
    this.#expiring.delete(connection)
    if (--this.#size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #tick (): void {
    const { onSilent, onExpired, onTick } = this.#parts
    this.#tickCount++
    for (const connection of this.#slotAt(this.#tickCount - this.#timeoutTicks)) if (connection.awaitsPong) onSilent(connection)
    for (const connection of this.#slotAt(this.#tickCount)) connection.ping()
    const now = Date.now()
    for (const connection of this.#expiring) if (connection.expiresAt <= now) onExpired(connection)
    onTick()
  }

  /** The connections that a tick pings. */
  #slotAt (tick: number): Set<Connection> {
    const { length } = this.#slots
    return this.#slots[(tick + length) % length]!
  }
}
