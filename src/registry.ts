import type { WebSocket } from 'ws'
import type { Connection } from './connection.js'

export type Registry = ReturnType<typeof createRegistry>

const NONE: ReadonlySet<Connection> = new Set()

/** Who is connected: user → connections, any number for each. */
export function createRegistry () {
  const byUser = new Map<string, Set<Connection>>()
  let size = 0

  return {
    /** How many connections there are. */
    get size (): number {
      return size
    },

    /** The connected users. */
    get users (): ReadonlyMap<string, ReadonlySet<Connection>> {
      return byUser
    },

    /** A user's connections; none is no error. */
    of (userId: string): ReadonlySet<Connection> {
      return byUser.get(userId) ?? NONE
    },

    find (userId: string, socket: WebSocket): Connection | undefined {
      for (const connection of this.of(userId)) if (connection.socket === socket) return connection
      return undefined
    },

    add (connection: Connection): void {
      const connections = byUser.get(connection.userId)
      if (connections === undefined) byUser.set(connection.userId, new Set([connection]))
      else connections.add(connection)
      size++
    },

    /** Of what is not there, or no longer, nothing is deleted. */
    delete (connection: Connection): void {
      const connections = byUser.get(connection.userId)
      if (connections === undefined || !connections.delete(connection)) return
      if (connections.size === 0) byUser.delete(connection.userId)
      size--
    }
  }
}
