import type { BackoffOptions } from '../backoff.js'
import { isId } from '../ids.js'
import { BroadcastQueue } from './broadcast-queue.js'
import { MAX_BODY_BYTES, type Broadcast, type Disconnect, type FrameKind, type Membership } from './frames.js'
import type { Unsent } from './unsent.js'
import { UrgentPublishes } from './urgent-publishes.js'

export interface ToAllParts {
  /** The waits between attempts while the broker accepts no publishes. */
  reconnect: BackoffOptions
  /** Publishes a frame to all instances. `answered` gets whether the broker has accepted it. */
  publish (kind: FrameKind, body: string, answered: (isTaken: boolean) => void): void
  /** Asks whether the broker accepts publishes now. */
  probe (answered: (isTaken: boolean) => void): void
  unsent: Unsent
}

/** What all instances are told, and nobody waits for: it waits itself while the broker accepts no publishes. */
export class ToAll {
  readonly #unsent: Unsent
  readonly #disconnects: UrgentPublishes
  readonly #signouts: UrgentPublishes
  readonly #memberships: UrgentPublishes
  readonly #broadcasts: BroadcastQueue

  constructor ({ reconnect, publish, probe, unsent }: ToAllParts) {
    this.#unsent = unsent
    const urgent = (kind: 'disconnect' | 'signout' | 'membership') => new UrgentPublishes({
      reconnect,
      publish: (_key, body, answered) => publish(kind, body, answered),
      sent: () => unsent.sent(kind),
      unsent: reason => unsent.add(kind, reason)
    })
    this.#disconnects = urgent('disconnect')
    this.#signouts = urgent('signout')
    this.#memberships = urgent('membership')
    this.#broadcasts = new BroadcastQueue({
      reconnect,
      probe,
      publish: (body, answered) => publish('broadcast', body, answered),
      sent: () => unsent.sent('broadcast'),
      unsent: reason => unsent.add('broadcast', reason)
    })
  }

  /** Closes a user's connections on the peers, or only those of a session. */
  disconnect (userId: string, { code, reason, sessionId }: Disconnect): void {
    if (!isId(userId)) return // it can't have a connection, and peers would drop the frame
    if (sessionId === undefined) this.#disconnects.add(userId, JSON.stringify({ userId, code, reason }))
    else this.#signouts.add(`${userId}\n${sessionId}`, JSON.stringify({ userId, sessionId, code, reason }))
  }

  /** Puts the connections of a user on the peers into a group, or takes them out. */
  changeGroup (membership: Membership): void {
    this.#memberships.add(`${membership.userId}\n${membership.group}`, JSON.stringify(membership))
  }

  /** Sends a content to every user on the peers. */
  broadcast (broadcast: Broadcast): void {
    const body = JSON.stringify(broadcast)
    if (Buffer.byteLength(body) <= MAX_BODY_BYTES) this.#broadcasts.add(body)
    else this.#unsent.add('broadcast', 'too-large')
  }

  /** The broker may accept publishes again. */
  resume (): void {
    for (const waiting of [this.#disconnects, this.#signouts, this.#memberships, this.#broadcasts]) waiting.resume()
  }

  close (): void {
    for (const waiting of [this.#disconnects, this.#signouts, this.#memberships, this.#broadcasts]) waiting.close()
  }
}
