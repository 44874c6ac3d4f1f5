import type { Test } from 'tap'
import type { NotificationPluginOptions } from '../../src/index.js'
import { startApp, type TestApp } from './app.js'
import { useBroker, type TestBroker } from './broker.js'
import { connectClient, type TestClient } from './client.js'
import { eventually } from './eventually.js'

export interface Instances {
  readonly broker: TestBroker
  readonly queue: string
  readonly apps: TestApp[]
}

/** Several instances that share a queue. */
export async function startInstances (t: Test, count: number, options: NotificationPluginOptions = {}): Promise<Instances> {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
  const apps: TestApp[] = []
  for (let n = 0; n < count; n++) apps.push(await startApp(t, { amqpUrl: broker.url, queue, cluster: true, ...options }))
  await Promise.all(apps.map(({ app }) => app.notifier.isOnline('nobody'))) // answered when the instance has found the others
  return { broker, queue, apps }
}

/** A plain client, once the other instances reach it. */
export async function connectTo (t: Test, { app, notifications }: TestApp, userId: string): Promise<TestClient> {
  const before = app.notifier.connections(userId)
  const client = await connectClient(t, notifications(userId))
  await eventually(() => app.notifier.connections(userId) > before, 'bound')
  return client
}

/** Resolves when an instance knows what another one has told it before, and the other way round. */
export async function exchangeNews (t: Test, from: TestApp, to: TestApp): Promise<void> {
  const userId = `news-${Math.random()}`
  const client = await connectTo(t, to, userId)
  await from.app.notifier.isOnline('nobody') // it has found the others
  await from.app.notifier.notify(userId, 'news')
  await client.received(1)
  await client.close()
}

export const numbers = (count: number) => Array.from({ length: count }, (_, n) => String(n))
