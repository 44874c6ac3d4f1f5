import { test, type Test } from 'tap'
import { serveClientPage } from './client-page.js'
import { casesFor } from './conformance.js'
import { startNotificationServer, type NotificationServer } from './notification-server.js'

/** How the handler of a notification ends. */
export type Verdict = 'done' | 'failed'

/** An event of the client, with the state that the client was in by then. */
export interface SeenEvent { readonly type: 'notification' | 'close' | 'ended', readonly code?: number, readonly state: string }

/** A client that a conversation is held with. */
export interface ConversingClient {
  /** Resolves with an event of a type: the first, or another one of those that have come since the start. */
  event (type: SeenEvent['type'], index: number): Promise<SeenEvent>
  /** The verdicts that no handler has used. */
  unused (): Promise<Verdict[]> | Verdict[]
}

/**
 * Holds the conversations of `docs/conformance.json` with the client.
 * @param where the client runs
 * @param connect starts a client, whose handlers end by these verdicts
 */
export async function testConversations (where: string, connect: (t: Test, server: NotificationServer, verdicts: Verdict[]) => Promise<ConversingClient>): Promise<void> {
  for (const { name, steps, credentials } of await casesFor('client')) {
    test(`the client ${where}: ${name}`, async t => {
      const server = await startNotificationServer(t, { greeting: null, http: serveClientPage })
      const client = await connect(t, server, steps.flatMap(step => 'handler' in step ? [step.handler] : []))
      let peer = await server.peer()
      let frames = 0
      let closes = 0
      let notifications = 0
      for (const step of steps) {
        if ('server' in step) {
          peer.send(step.server)
          if (step.server.type === 'notification') notifications++
        } else if ('client' in step) {
          t.same(JSON.parse((await peer.frame(frames + 1))[frames++]!), step.client)
        } else if ('lost' in step) {
          await client.event('notification', notifications - 1)
          peer.socket.terminate()
          closes++
          peer = await server.peer()
          frames = 0
        } else if ('closed' in step) {
          peer.socket.close(step.closed)
          const expected = { code: step.closed, state: step.again ? 'waiting' : 'closed' }
          t.match(await client.event('close', closes++), expected)
          if (step.again) peer = await server.peer()
          else t.match(await client.event('ended', 0), expected)
          frames = 0
        }
      }
      t.same(await client.unused(), [], 'each notification was handled as often as it should be')
      t.equal(peer.frames.length, frames, 'no other frame was sent')
      if (credentials !== undefined) t.equal(server.peers.length, 1)
    })
  }
}
