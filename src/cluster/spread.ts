import type { Relay } from './relay.js'

/**
 * Maximum relays that are over, and their contents in bytes, that wait for the broker or for a peer in one place: a
 * connection has the notification, and the user's connections on the peers are to get it too.
 */
export const MAX_SPREAD = 1_000
export const MAX_SPREAD_BYTES = 16_777_216

/**
 * Of relays that are over, those that have to give way while nothing can be published.
 * @param relays the oldest first
 * @returns those that are not spread, and the oldest of the others that there is no room for
 */
export function excessOf (relays: readonly Relay[]): ReadonlySet<Relay> {
  const excess = new Set<Relay>()
  let [count, bytes] = [0, 0]
  for (const relay of relays.toReversed()) {
    if (!relay.isOver) continue
    if (relay.isSpread) bytes += relay.delivery.notification.payload.bytes
    if (!relay.isSpread || ++count > MAX_SPREAD || bytes > MAX_SPREAD_BYTES) excess.add(relay)
  }
  return excess
}
