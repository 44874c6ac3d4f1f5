import type { Test } from 'tap'
import { connectClient, type TestClient } from './client.js'

export interface Frame { type: string, id?: string, content?: unknown, redelivered?: boolean, connectionId?: string, code?: string, heartbeatMs?: number }

export interface RichClient extends TestClient {
  /** What arrived so far, without the welcome. */
  readonly frames: Frame[]
  /** Resolves with the first so many of them. */
  framesReceived (count: number): Promise<Frame[]>
  ack (...ids: string[]): void
}

/** Connects a client that speaks `notification.v1`, and acknowledges when the test says so. */
export async function connectRich (t: Test, url: string): Promise<RichClient> {
  const client = await connectClient(t, url, {}, 'notification.v1')
  const frames = () => client.messages.map(text => JSON.parse(text) as Frame).filter(({ type }) => type !== 'welcome')
  await client.received(1)
  return Object.defineProperties({
    ...client,
    async framesReceived (count: number) {
      await client.received(count + 1)
      return frames().slice(0, count)
    },
    ack: (...ids: string[]) => client.socket.send(JSON.stringify({ type: 'ack', ids }))
  }, { frames: { get: frames } }) as RichClient
}
