import { EventEmitter, once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'

/** A WebSocket client that does as it is told, also what a library would not. */
export interface RawClient {
  readonly socket: Socket
  /** The head of the server's answer. */
  readonly head: string
  /** Resolves with the code of the server's close frame; 1006 if the connection ends without one. */
  readonly closed: Promise<number>
  /** Sends a frame, masked with zeros (RFC 6455 §5.2). */
  send (opcode: number, payload: Buffer | string, options?: { fin?: boolean, rsv?: number, masked?: boolean }): void
}

/** Connects and upgrades. `pause` reads nothing after the upgrade. */
export async function connectRaw (t: Test, url: string, headers: Record<string, string> = {}): Promise<RawClient> {
  const { hostname, port, pathname, search } = new URL(url)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  await once(socket, 'connect')
  const lines = Object.entries({
    Host: `${hostname}:${port}`,
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version': '13',
    ...headers
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`GET ${pathname}${search} HTTP/1.1\r\n${lines.join('')}\r\n`)

  let received: Buffer = Buffer.alloc(0)
  const events = new EventEmitter<{ head: [string], close: [number] }>()
  let upgraded = false
  socket.on('data', chunk => {
    received = Buffer.concat([received, chunk])
    const end = received.indexOf('\r\n\r\n')
    if (!upgraded && end >= 0) {
      upgraded = true
      events.emit('head', received.subarray(0, end).toString())
      received = received.subarray(end + 4)
    }
    if (upgraded) readFrames()
  })
  const closed = new Promise<number>(resolve => {
    events.once('close', resolve)
    socket.once('close', () => resolve(1006))
  })

  function readFrames (): void {
    while (received.length >= 2) {
      const short = received[1]! & 0x7f
      const from = short === 126 ? 4 : short === 127 ? 10 : 2
      if (received.length < from) return
      const length = short === 126 ? received.readUInt16BE(2) : short === 127 ? Number(received.readBigUInt64BE(2)) : short
      if (received.length < from + length) return
      if ((received[0]! & 0x0f) === 8) events.emit('close', length >= 2 ? received.readUInt16BE(from) : 1005)
      received = received.subarray(from + length)
    }
  }

  const [head] = await once(events, 'head')
  return {
    socket,
    head,
    closed,
    send (opcode, payload, { fin = true, rsv = 0, masked = true } = {}) {
      const data = Buffer.from(payload)
      const length = data.length < 126
        ? Buffer.from([data.length])
        : data.length < 65_536 ? Buffer.from([126, data.length >> 8, data.length & 255]) : Buffer.from([127, 0, 0, 0, 0, ...lengthBytes(data.length)])
      if (masked) length[0]! |= 0x80
      socket.write(Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | (rsv << 4) | opcode]), length, masked ? Buffer.alloc(4) : Buffer.alloc(0), data]))
    }
  }
}

function lengthBytes (length: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(length)
  return bytes
}
