import type { Connection } from './connection.js'

/** An interval is divided into so many parts at least, and a part is at most so long, in milliseconds. */
const MIN_SLOTS = 25
const MAX_TICK = 1_000

export type Heartbeat = ReturnType<typeof createHeartbeat>

export interface HeartbeatOptions {
  /** How often each connection is pinged, and how long its pong may take, in milliseconds. */
  interval: number
  timeout: number
  /** No pong came in time. */
  onSilent (connection: Connection): void
  /** Its credentials have expired. */
  onExpired (connection: Connection): void
  /** Called at each tick of the one timer. */
  onTick (): void
}

/**
 * One timer for all connections, which pings a part of them at each tick, spread over the interval: a timer for each
 * would cost more than the pings, and pings of all at once would be a spike of work and of traffic.
 */
export function createHeartbeat ({ interval, timeout, onSilent, onExpired, onTick }: HeartbeatOptions) {
  const slotCount = Math.max(MIN_SLOTS, Math.ceil(interval / MAX_TICK))
  const tickLength = interval / slotCount
  const timeoutTicks = Math.max(1, Math.ceil(timeout / tickLength))
  const slots = Array.from({ length: slotCount }, () => new Set<Connection>())
  const expiring = new Set<Connection>()
  let timer: NodeJS.Timeout | undefined
  let now = 0
  let next = 0
  let size = 0

  function tick (): void {
    now++
    for (const connection of slots[(now + slotCount - timeoutTicks) % slotCount]!) if (connection.awaitsPong) onSilent(connection)
    for (const connection of slots[now % slotCount]!) connection.ping()
    const time = Date.now()
    for (const connection of expiring) if (connection.expiresAt <= time) onExpired(connection)
    onTick()
  }

  return {
    add (connection: Connection): void {
      connection.slot = next++ % slotCount
      slots[connection.slot]!.add(connection)
      size++
      if (connection.expiresAt !== Infinity) expiring.add(connection)
      timer ??= setInterval(tick, tickLength)
    },

    delete (connection: Connection): void {
      if (!slots[connection.slot]!.delete(connection)) return
      expiring.delete(connection)
      if (--size > 0) return
      clearInterval(timer)
      timer = undefined
    }
  }
}
