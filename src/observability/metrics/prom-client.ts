import { errors } from '../../errors.js'

export type Labels = Readonly<Record<string, string>>

interface Configuration {
  name: string
  help: string
  labelNames: string[]
  /** Empty: all metrics are registered together later. */
  registers: []
}

export interface Counter {
  inc (labels: Labels, value: number): void
  reset (): void
}

export interface Gauge {
  set (labels: Labels, value: number): void
  reset (): void
}

export interface Histogram {
  observe (labels: Labels, value: number): void
}

/** The part of prom-client that is used. Declared here, so that applications without prom-client compile. */
export interface PromClient {
  Counter: new (configuration: Configuration & { collect (this: Counter): void }) => Counter
  Gauge: new (configuration: Configuration & { collect (this: Gauge): void }) => Gauge
  Histogram: new (configuration: Configuration & { buckets: number[] }) => Histogram
}

/** @throws FST_NOTIFICATION_METRICS_NO_CLIENT if prom-client is not installed */
export async function loadPromClient (load: () => Promise<PromClient> = async () => await import('prom-client')): Promise<PromClient> {
  try {
    return await load()
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new errors.MetricsNoClient({ cause: error })
  }
}
