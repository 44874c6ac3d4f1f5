import { Registry } from 'prom-client'
import type { Test } from 'tap'
import { waitCauses } from '../../src/delivery/waiting.js'
import { healthStates } from '../../src/observability/health.js'
import type { NotificationPluginOptions } from '../../src/index.js'
import { startApp, type TestApp } from './app.js'
import { eventually } from './eventually.js'

/** Why an upgrade is refused. */
const refusals = [
  'invalid-user-id', 'unknown-subprotocol', 'unauthenticated', 'forbidden-origin', 'forbidden-user', 'too-many-connections-of-user',
  'invalid-identity', 'authenticate-failed', 'too-many-connections', 'too-many-upgrades', 'too-many-upgrades-of-address', 'upgrade-timeout', 'closing', 'application'
]

/** An application whose metrics can be looked at. */
export interface Measured extends TestApp {
  readonly registry: Registry
  /** The value of a series, named without the prefix. */
  value (series: string): Promise<number | undefined>
  /** Resolves when a series has a value. */
  reaches (series: string, value: number): Promise<void>
}

/** The value of a series, named without the prefix; undefined where there is none. */
export async function valueIn (registry: Pick<Registry, 'metrics'>, series: string): Promise<number | undefined> {
  const line = (await registry.metrics()).split('\n').find(line => line.startsWith(`fastify_notification_${series} `))
  return line === undefined ? undefined : Number(line.split(' ').at(-1))
}

/** Whether every label has one of a few values. */
export async function assertBounded (t: Test, registry: Registry, queues: string[]): Promise<void> {
  const bounds: Record<string, RegExp> = {
    queue: new RegExp(`^(${queues.join('|')})$`),
    cause: new RegExp(`^(${waitCauses.join('|')})$`),
    outcome: /^(acknowledged|sent|held|offline|ignored|dead-lettered)$/,
    reason: new RegExp(`^(too-large|invalid-encoding|invalid-utf8|invalid-json|invalid-message|undecodable|offline|rejected|delivery-limit|internal-error|overflow|expired|${refusals.join('|')})$`),
    status: /^(40[0134]|429|50[0234]|other|none)$/,
    purpose: /^(consumer|publisher|relay)$/,
    state: new RegExp(`^(${healthStates.join('|')})$`),
    code: /^(10(0[0-35-9]|1[0-5])|400[0-2]|450[0-3]|other|released)$/,
    fault: /^(foreign|malformed|too-large|other-version)$/,
    receipt: /^(taken|nobody|sent|acknowledged|held)$/,
    le: /^([\d.]+|\+Inf)$/
  }
  const wrong = [...(await registry.metrics()).matchAll(/(\w+)="([^"]*)"/g)].filter(([, label, value]) => bounds[label!]?.test(value!) !== true)
  t.same(wrong.map(([pair]) => pair), [], 'each label has few values')
}

/** A listening application with the plugin and a registry of its own. */
export async function startMeasured (t: Test, options: NotificationPluginOptions = {}): Promise<Measured> {
  const registry = new Registry()
  const started = await startApp(t, { metrics: registry, ...options })
  const value = (series: string) => valueIn(registry, series)
  return { ...started, registry, value, reaches: (series, wanted) => eventually(async () => await value(series) === wanted, `${series} ${wanted}`) }
}
