import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { NotificationClient, type NotificationClientEvents, type NotificationClientOptions } from '../../src/client/index.js'

/** A client that is closed after the test, connects by `ws`, and waits a few milliseconds before it reconnects. */
export function createClient (
  t: Test, url: ConstructorParameters<typeof NotificationClient>[0], options: NotificationClientOptions = {}
): NotificationClient {
  const client = new NotificationClient(url, { WebSocket, reconnect: { initialDelay: 5, maxDelay: 20 }, ...options })
  t.teardown(() => client.close())
  return client
}

/** The next event of a type. */
export async function next<Type extends keyof NotificationClientEvents> (
  client: NotificationClient, type: Type
): Promise<NotificationClientEvents[Type]> {
  return await new Promise(resolve => client.addEventListener(type, resolve, { once: true }))
}

/** What happens to the connection, in order, as short texts. */
export function record (client: NotificationClient): string[] {
  const events: string[] = []
  client.addEventListener('open', ({ connectionId }) => events.push(`open ${connectionId}`))
  client.addEventListener('dismiss', ({ id }) => events.push(`dismiss ${id}`))
  client.addEventListener('close', ({ code, reason, willReconnect }) => {
    events.push(`close ${code}${reason && ` ${reason}`}${willReconnect ? ', will reconnect' : ''}`)
  })
  client.addEventListener('error', ({ code, message }) => events.push(`error ${code}: ${message}`))
  client.addEventListener('ended', ({ code }) => events.push(`ended ${code}`))
  return events
}
