import type { AdmissionParts } from './admission.js'
import type { Connection } from './connection.js'
import type { MembershipsParts } from './memberships.js'

/** What `Sockets` reports about connections. */
export interface SocketHooks extends Partial<Pick<AdmissionParts, 'opening' | 'left'>> {
  /** With `cluster: true`: the groups here must be known to the peers too. */
  groupOpening?: MembershipsParts['opening']
  groupLeft?: MembershipsParts['left']
  /** Connections of a user have left a group. */
  leftGroup (userId: string): void
  /** A socket was opened, or registered by the application. */
  connected?: (() => void) | undefined
  /** A socket has closed, with this code; or `unregister()` has given it back to the application. */
  closed?: ((code: number | 'released') => void) | undefined
  /** A connection has been added to the registry. */
  opened (connection: Connection): void
  /** A connection has been removed from the registry. May be called again for the same connection. */
  ended (connection: Connection): void
  /** For the journal. `closing`: this server closes the connection. `disconnected` has no code after `unregister()`. */
  recorded?: ((connection: Connection, event: 'connected' | 'closing' | 'disconnected', code?: number) => void) | undefined
}
