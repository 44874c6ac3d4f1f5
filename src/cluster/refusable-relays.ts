import type { Relay } from './relay.js'
import { MAX_SPREAD, MAX_SPREAD_BYTES } from './spread.js'

/**
 * The relays that are over and that a peer may still refuse because of an older one. If there are too many, the oldest are
 * forgotten, and a refusal of them is ignored.
 */
export class RefusableRelays {
  readonly #period: number
  /** By number, the oldest first, each with the time until which it is kept. */
  readonly #relays = new Map<number, { readonly relay: Relay, readonly until: number }>()
  #bytes = 0

  /** @param period how long a relay is kept, in milliseconds */
  constructor (period: number) {
    this.#period = period
  }

  get (id: number): Relay | undefined {
    return this.#relays.get(id)?.relay
  }

  add (relay: Relay, now: number): void {
    this.#relays.set(relay.id, { relay, until: now + this.#period })
    this.#bytes += bytesOf(relay)
    for (const { relay: oldest } of this.#relays.values()) {
      if (this.#relays.size <= MAX_SPREAD && this.#bytes <= MAX_SPREAD_BYTES) return
      this.delete(oldest)
    }
  }

  delete (relay: Relay): void {
    if (this.#relays.delete(relay.id)) this.#bytes -= bytesOf(relay)
  }

  /** Forgets what is too old. To be called now and then. */
  tick (now: number): void {
    for (const { relay, until } of this.#relays.values()) {
      if (until > now) return
      this.delete(relay)
    }
  }
}

function bytesOf ({ delivery }: Relay): number {
  return delivery.notification.payload.bytes
}
