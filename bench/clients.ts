import { once } from 'node:events'
import { WebSocket, type RawData } from 'ws'

/** How many upgrades wait for their answer at a time. */
const CONCURRENCY = 200

/** A client gathers what it acknowledges for so many milliseconds, as that of this package does. */
const ACK_INTERVAL = 30

/** How a contender is spoken to. */
export interface Dialect {
  /** The WebSocket subprotocol. */
  readonly subprotocol?: string
  /** Path and query of a user's WebSocket. */
  path (userId: string): string
  /** What has to be said before anything arrives. */
  greet? (socket: WebSocket): Promise<void>
  /** The content of a frame; undefined where it has none. */
  content (frame: Buffer, socket: WebSocket): string | undefined
}

export const plain: Dialect = {
  path: userId => `/notification?userId=${userId}`,
  content: frame => frame.toString('latin1')
}

const unacked = new WeakMap<WebSocket, string[]>()

/** `notification.v1`, as much of it as is needed. */
export const rich: Dialect = {
  path: plain.path,
  subprotocol: 'notification.v1',
  content (frame, socket) {
    const { type, id, content } = JSON.parse(frame.toString('latin1')) as { type: string, id: string, content: string }
    if (type !== 'notification') return undefined
    const ids = unacked.get(socket)
    if (ids !== undefined) {
      ids.push(id)
    } else {
      unacked.set(socket, [id])
      setTimeout(() => {
        socket.send(JSON.stringify({ type: 'ack', ids: unacked.get(socket) }))
        unacked.delete(socket)
      }, ACK_INTERVAL)
    }
    return content
  }
}

/** The same, connected when the welcome says that the user can be reached. */
export const welcomed: Dialect = {
  ...rich,
  async greet (socket) {
    await once(socket, 'message')
  }
}

/** Engine.IO 4 and Socket.IO 5, as much of them as is needed. */
export const socketIO: Dialect = {
  path: userId => `/socket.io/?EIO=4&transport=websocket&userId=${userId}`,
  async greet (socket) {
    await once(socket, 'message') // 0: open
    socket.send('40') // connect to the default namespace
    await once(socket, 'message') // 40: connected
  },
  content (frame, socket) {
    const text = frame.toString('latin1')
    if (text === '2') socket.send('3') // ping, pong
    return text.startsWith('42') ? (JSON.parse(text.slice(2)) as [string, string])[1] : undefined
  }
}

/** Many users' WebSockets in this process. */
export interface Clients {
  close (): Promise<void>
}

/**
 * Connects a WebSocket for each user.
 * @param urls of the servers, http:, to which the users go in turn
 * @param onContent called with each content, and the user's place in `userIds`
 * @returns when all are connected
 */
export async function connectClients (
  urls: string[], userIds: string[], dialect: Dialect, onContent: (user: number, content: string) => void
): Promise<Clients> {
  const origins = urls.map(url => url.replace(/^http/, 'ws'))
  const sockets: WebSocket[] = []

  async function connect (user: number): Promise<void> {
    const socket = new WebSocket(origins[user % origins.length] + dialect.path(userIds[user]!), dialect.subprotocol ?? [], { perMessageDeflate: false, skipUTF8Validation: true })
    sockets.push(socket)
    const greeted = dialect.greet?.(socket)
    // What was held follows the answer to the upgrade at once.
    const opened = once(socket, 'open')
    if (greeted !== undefined) await Promise.all([opened, greeted])
    socket.on('message', (data: RawData) => {
      const content = dialect.content(data as Buffer, socket)
      if (content !== undefined) onContent(user, content)
    })
    await opened
  }

  let next = 0
  async function connectSome (): Promise<void> {
    while (next < userIds.length) await connect(next++)
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, connectSome))

  return {
    async close () {
      await Promise.all(sockets.map(async socket => {
        socket.terminate()
        await once(socket, 'close')
      }))
    }
  }
}
