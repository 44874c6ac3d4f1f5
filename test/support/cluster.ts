import type { Test } from 'tap'
import type { NotificationPluginOptions } from '../../src/index.js'
import type { TestApp } from './app.js'
import { connectRich, type RichClient } from './rich-client.js'
import { eventually } from './eventually.js'
import { startRestartableApp, type RestartableApp } from './restartable-app.js'

/** How long an instance waits for another one to tell what became of a notification, in milliseconds. */
export const RECEIPT_TIMEOUT = 2_000

export interface InstanceOptions extends NotificationPluginOptions {
  amqpUrl: string
  queue: string
  redisUrl: string
}

/** An instance of several, in a process of its own, that consumes. */
export async function startInstance (t: Test, { amqpUrl, queue, redisUrl, relay, ...options }: InstanceOptions): Promise<RestartableApp> {
  const app = await startRestartableApp(t, amqpUrl, queue, redisUrl, {
    cluster: true, relay: { receiptTimeout: RECEIPT_TIMEOUT, ...relay }, ...options
  })
  await app.ready()
  return app
}

/** Resolves when instances have settled what they took. */
export async function allSettled (...instances: RestartableApp[]): Promise<void> {
  await eventually(async () => {
    const figures = await Promise.all(instances.map(instance => instance.figures()))
    return figures.every(({ health: { unsettled } }) => unsettled === 0)
  }, 'all settled')
}

/** A client that acknowledges what it is sent. */
export async function connectAcking (t: Test, url: string): Promise<RichClient> {
  const client = await connectRich(t, url)
  client.onFrame(({ type, id }) => { if (type === 'notification') client.ack(id!) })
  return client
}

/**
 * Notifies a client, which acknowledges, until it is handed a notification at once. By then what is held for its user has
 * been looked into: what comes before that goes through the hold.
 * @returns how many notifications it was sent
 */
export async function handAtOnce ({ app: { notifier } }: TestApp, userId: string, client: RichClient): Promise<number> {
  for (let n = 1; ; n++) {
    const id = `before-${n}`
    await notifier.notify('somebody else', 'hi') // time to look into the hold
    const result = notifier.notify(userId, 'before', { id })
    await client.framesReceived(n)
    client.ack(id)
    if ((await result).outcome === 'acknowledged') return n
  }
}

/** What clients were sent, by content, in order. */
export function contents (...clients: RichClient[]): unknown[] {
  return clients.flatMap(({ frames }) => frames.filter(({ type }) => type === 'notification').map(({ content }) => content))
}
