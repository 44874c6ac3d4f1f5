import { EventEmitter } from 'node:events'
import type { Test } from 'tap'
import { connectClient, type TestClient } from './client.js'

export interface Frame { type: string, id?: string, content?: unknown, redelivered?: boolean, connectionId?: string, code?: string, heartbeatMs?: number }

export interface RichClient extends TestClient {
  /** What arrived so far, without the welcome and the server's pings. */
  readonly frames: Frame[]
  /** Resolves with the first so many of them. */
  framesReceived (count: number): Promise<Frame[]>
  /** Calls back with each of them: with those that arrived so far, too. */
  onFrame (listener: (frame: Frame) => void): void
  ack (...ids: string[]): void
  nack (...ids: string[]): void
}

/** Connects a client that speaks `notification.v1`, and acknowledges when the test says so. */
export async function connectRich (t: Test, url: string): Promise<RichClient> {
  const client = await connectClient(t, url, {}, 'notification.v1')
  const frames: Frame[] = []
  const arrivals = new EventEmitter<{ frame: [Frame] }>()
  function take (text: string): void {
    const frame: Frame = JSON.parse(text)
    if (frame.type === 'welcome' || frame.type === 'ping') return
    frames.push(frame)
    arrivals.emit('frame', frame)
  }
  await client.received(1)
  client.messages.forEach(take) // more may have come together with the welcome
  client.socket.on('message', (data: Buffer) => take(data.toString()))
  return Object.defineProperties({
    ...client,
    async framesReceived (count: number) {
      await client.until(() => frames.length >= count, () => `frame ${count}, after ${frames.length}`)
      return frames.slice(0, count)
    },
    onFrame (listener: (frame: Frame) => void) {
      frames.forEach(listener)
      arrivals.on('frame', listener)
    },
    ack: (...ids: string[]) => client.socket.send(JSON.stringify({ type: 'ack', ids })),
    nack: (...ids: string[]) => client.socket.send(JSON.stringify({ type: 'nack', ids }))
  }, { frames: { get: () => [...frames] } }) as RichClient
}
