import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { WebSocketServer, type WebSocket } from 'ws'

/** The server's side of one connection. */
export interface Peer {
  readonly request: IncomingMessage
  readonly socket: WebSocket
  /** The texts that came, and the ids in them. */
  readonly frames: string[]
  readonly acks: string[]
  readonly nacks: string[]
  /** Resolves when so many ids have been acknowledged, with all that have. */
  acked (count: number): Promise<string[]>
  /** The same of ids that could not be handled. */
  nacked (count: number): Promise<string[]>
  /** Resolves when so many frames have come, with all that have. */
  frame (count: number): Promise<string[]>
  readonly closed: Promise<{ code: number, reason: string }>
  send (frame: object | string): void
  notify (id: string, content?: unknown, redelivered?: true): void
}

export interface NotificationServer {
  readonly url: string
  /** Every connection so far. */
  readonly peers: Peer[]
  /** The next connection that nobody has asked for yet. */
  peer (): Promise<Peer>
  close (): void
}

interface Script {
  port?: number
  /** What is sent first. */
  greeting?: object | string | null
  /** The status with which upgrades are refused. */
  refuse?: (request: IncomingMessage) => number | undefined
  /** Selects the subprotocol; `ws` takes the first. */
  select?: () => string | false
  http?: RequestListener
}

/** A server that speaks `notification.v1` as a test tells it to. */
export async function startNotificationServer (t: Test, script: Script = {}): Promise<NotificationServer> {
  const { greeting = { type: 'welcome', connectionId: 'c1', heartbeatMs: 25_000 }, refuse, select } = script
  const peers: Peer[] = []
  const arrivals = new EventEmitter()
  const server = createServer(script.http)
  const sockets = new WebSocketServer({
    server,
    ...select && { handleProtocols: select },
    verifyClient ({ req }, answer) {
      const status = refuse?.(req)
      answer(status === undefined, status)
    }
  })
  sockets.on('connection', (socket, request) => {
    peers.push(createPeer(socket, request))
    if (greeting !== null) peers.at(-1)!.send(greeting)
    arrivals.emit('peer')
  })
  server.listen(script.port ?? 0, '127.0.0.1')
  await once(server, 'listening')

  function close (): void {
    for (const { socket } of peers) socket.terminate()
    server.close()
  }
  t.teardown(close)

  let asked = 0
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    peers,
    async peer () {
      const index = asked++
      while (peers.length <= index) await once(arrivals, 'peer')
      return peers[index]!
    },
    close
  }
}

function createPeer (socket: WebSocket, request: IncomingMessage): Peer {
  const frames: string[] = []
  const acks: string[] = []
  const nacks: string[] = []
  const arrivals = new EventEmitter()
  socket.on('message', (data: Buffer) => {
    frames.push(data.toString())
    const { type, ids } = JSON.parse(data.toString())
    if (type === 'ack') acks.push(...ids)
    if (type === 'nack') nacks.push(...ids)
    arrivals.emit('frame')
  })
  socket.on('error', () => {})
  const closed = new Promise<{ code: number, reason: string }>(resolve => {
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }))
  })
  const send = (frame: object | string) => socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
  return {
    request,
    socket,
    frames,
    acks,
    nacks,
    closed,
    send,
    async frame (count) {
      while (frames.length < count) await once(arrivals, 'frame')
      return frames
    },
    async acked (count) {
      while (acks.length < count) await once(arrivals, 'frame')
      return acks
    },
    async nacked (count) {
      while (nacks.length < count) await once(arrivals, 'frame')
      return nacks
    },
    notify: (id, content = id, redelivered) => send({ type: 'notification', id, content, redelivered })
  }
}
