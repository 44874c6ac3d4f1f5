import { connect as connectTcp, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'

/** How many users they say they are: one user may open only so many connections a minute. */
const ABUSERS = 50

/** One of the users who mean harm. */
export const abuser = (n: number) => `abuser-${n % ABUSERS}`

/** For how long each abuse goes on, in milliseconds. */
const SPELL = 500

/** Clients that mean harm. Each returns how to end it. */
const abuses: Array<(port: number, userId: string) => () => void> = [
  (port, userId) => rich(port, userId, socket => socket.pause()), // reads nothing of what it is sent
  (port, userId) => rich(port, userId, socket => { for (let n = 0; n < 500; n++) socket.ping() }),
  (port, userId) => rich(port, userId, socket => { for (let n = 0; n < 200; n++) socket.send(JSON.stringify({ type: 'ack', ids: [`unknown-${n}`] })) }),
  (port, userId) => rich(port, userId, socket => { for (let n = 0; n < 50; n++) socket.send('{"type":"nonsense"}') }),
  (port, userId) => rich(port, userId, socket => socket.send('x'.repeat(100_000))),
  (port, userId) => rich(port, userId, socket => socket.send(Buffer.alloc(100), { binary: true })),
  (port, userId) => raw(port, `GET /notification?userId=${userId} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n`), // never ends its request
  port => raw(port, upgrade('/nowhere')), // doesn't read the answer
  port => raw(port, upgrade('/notification?userId=')),
  (port, userId) => raw(port, `${upgrade(`/notification?userId=${userId}`)}\xff\xff\xff\xff`)
]

function rich (port: number, userId: string, begin: (socket: WebSocket) => void): () => void {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/notification?userId=${userId}`, 'notification.v1')
  socket.on('error', () => {})
  socket.on('open', () => begin(socket))
  return () => socket.terminate()
}

function raw (port: number, request: string): () => void {
  const socket: Socket = connectTcp(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(request, 'latin1')
  return () => socket.destroy()
}

function upgrade (path: string): string {
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
  return `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${key}`
}

/** Abuses a server, three times at once, in every way in turn. */
export async function abuse (port: number, signal: AbortSignal): Promise<void> {
  for (let n = 0; !signal.aborted; n += 3) {
    const ends = [0, 1, 2].map(next => abuses[(n + next) % abuses.length]!(port, abuser(n + next)))
    await delay(SPELL)
    for (const end of ends) end()
  }
}
