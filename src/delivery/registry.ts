import type { WebSocket } from 'ws'
import type { Connection } from '../websocket/connection.js'

export type Registry = ReturnType<typeof createRegistry>

const NONE: readonly Connection[] = []

/** Who is connected: user → connections, any number for each. */
export function createRegistry () {
  // Arrays, never changed but replaced: a user mostly has one, of which a set would take more memory than the rest of us.
  const byUser = new Map<string, readonly Connection[]>()
  let size = 0

  return {
    /** How many connections there are. */
    get size (): number {
      return size
    },

    /** The connected users. */
    get users (): ReadonlyMap<string, readonly Connection[]> {
      return byUser
    },

    /** A user's connections; none is no error. */
    of (userId: string): readonly Connection[] {
      return byUser.get(userId) ?? NONE
    },

    find (userId: string, socket: WebSocket): Connection | undefined {
      return this.of(userId).find(connection => connection.socket === socket)
    },

    add (connection: Connection): void {
      const { userId } = connection
      byUser.set(userId, [...this.of(userId), connection])
      size++
    },

    /** Of what is not there, or no longer, nothing is deleted. */
    delete (connection: Connection): void {
      const connections = this.of(connection.userId)
      if (!connections.includes(connection)) return
      if (connections.length === 1) byUser.delete(connection.userId)
      else byUser.set(connection.userId, connections.filter(other => other !== connection))
      size--
    }
  }
}
