import type { Test } from 'tap'
import type { NotificationPluginOptions } from '../../src/index.js'
import { startApp, type TestApp } from './app.js'
import type { TestBroker } from './broker.js'
import { eventually } from './eventually.js'
import { startProxy, type Proxy } from './proxy.js'
import { usePrivateRedis } from './redis.js'

/** RabbitMQ 4 and later have a default delivery limit. */
export function hasDefaultLimit ({ channel }: TestBroker): boolean {
  const { version } = (channel.connection as unknown as { serverProperties: { version: string } }).serverProperties
  return Number.parseInt(version, 10) >= 4
}

/** The bodies of so many messages, for as many users. */
export const messages = (count: number) => Array.from({ length: count }, (_, n) => ({ userId: `user-${n}`, content: n, id: `m-${n}` }))

export interface WithoutHold extends TestApp {
  /** Between the application and the broker. */
  readonly proxy: Proxy
  /** Redis is back; it is away from the beginning. */
  mend (): Promise<void>
}

/** An application whose hold is away: what comes for somebody who is absent stays unsettled. */
export async function startWithoutHold (t: Test, broker: TestBroker, options: NotificationPluginOptions): Promise<WithoutHold> {
  const redis = await usePrivateRedis(t)
  const proxy = await startProxy(t, broker.url)
  const app = await startApp(t, {
    amqpUrl: proxy.through(broker.url), offline: 'hold', hold: { redis: redis.url }, reconnect: { initialDelay: 10, maxDelay: 100 }, ...options
  })
  await redis.kill()
  return { ...app, proxy, mend: () => redis.start() }
}

/**
 * Loses the connection of the consumer; each tenth time all connections.
 * @param isBack whether everything that is unsettled was delivered again
 */
export async function loseConnections ({ app, proxy }: WithoutHold, times: number, isBack: () => boolean): Promise<void> {
  for (let lost = 0; lost < times; lost++) {
    await eventually(() => app.notifier.health().ready && isBack(), `all are back after ${lost} lost connections`)
    const { accepted } = proxy
    proxy.reset(lost % 10 === 0 ? undefined : 'consumer')
    await eventually(() => proxy.accepted > accepted, 'connects again')
  }
}

/** Loses the connection of the consumer so often that each unsettled message is returned as often. */
export async function returnOften (proxy: Proxy, { app }: Pick<TestApp, 'app'>, times: number): Promise<void> {
  for (let n = 0; n < times; n++) {
    const { highestDeliveryCount: before } = app.notifier.health()
    proxy.reset('consumer')
    await eventually(() => app.notifier.health().highestDeliveryCount === before + 1, `returned ${before + 1} times`)
  }
}
