import type { Relay } from './relay.js'

/** Maximum relays, and bytes of their contents. If there are more, the oldest are forgotten: a refusal is ignored then. */
const MAX_COUNT = 1_000
const MAX_BYTES = 16_777_216

/** The relays that are over and that a peer may still refuse because of an older one. */
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
      if (this.#relays.size <= MAX_COUNT && this.#bytes <= MAX_BYTES) return
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
