import type { FastifyBaseLogger } from 'fastify'
import type { Origin } from '../delivery/doors.js'
import type { Payload } from '../delivery/payload.js'
import type { PeerListener } from '../delivery/peers.js'
import type { Disconnect, Membership } from './frames.js'
import type { MulticastsParts } from './multicasts.js'
import type { RelayTimes } from './relay-receipts.js'
import type { Wire } from './wire.js'

/** What the core of the cluster is given. */
export interface ClusterCoreParts extends Pick<MulticastsParts, 'multicast' | 'unsent'> {
  /** The id of this instance. */
  instance: string
  wire: Wire
  /** Whether clients acknowledge. */
  awaitsAcks: boolean
  /** How long an answer of a peer, or a marker, may take, in milliseconds. */
  receiptTimeout: number
  /** How long a call may wait for the peers, in milliseconds. */
  publishTimeout: number
  log: FastifyBaseLogger
  listener: PeerListener
  /** The trace context of a delivery, for the peer that continues it. */
  traceOf (origin: Origin | undefined): Record<string, string> | undefined
  /** Delivers to every user who is connected here, but those of `except`. */
  broadcast (payload: Payload, except: readonly string[]): void
  /** Puts a user's connections here into a group, or takes them out, because a peer says so. */
  changeGroup (membership: Membership): void
  /** Closes a user's connections here, because `disconnect()` was called on a peer. */
  closeConnections (userId: string, disconnect: Disconnect): void
  /** Something in a frame can't be used. */
  malformed (): void
  /** Present with the option `metrics`. */
  times?: (RelayTimes & { marker (milliseconds: number): void }) | undefined
}
