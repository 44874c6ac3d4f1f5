import type { FastifyBaseLogger } from 'fastify'
import { errors } from '../../errors.js'
import type { MetricsRegistry } from '../../options/values.js'
import { Teardown } from '../../teardown.js'
import { createCloses } from './closes.js'
import { loadPromClient, type Counter, type Gauge, type PromClient } from './prom-client.js'
import { createRefusals } from './refusals.js'
import { createSources, type Samples, type SourceParts } from './sources.js'
import { metricTable, type MetricDefinition, type MetricName } from './table.js'
import { createTimes, type TimeHistograms } from './times.js'

export type { Times } from './times.js'

export type Metrics = Awaited<ReturnType<typeof createMetrics>>

/**
 * The metrics of one instance, in the application's own registry of prom-client.
 * @param load loads prom-client
 * @throws FST_NOTIFICATION_METRICS_NO_CLIENT, FST_NOTIFICATION_METRICS_TAKEN
 */
export async function createMetrics (target: MetricsRegistry, log: FastifyBaseLogger, load?: () => Promise<PromClient>) {
  const client = await loadPromClient(load)
  assertFree(target, Object.values(metricTable))
  const closes = createCloses()
  const refusals = createRefusals()
  const counts = { connects: 0, closes: closes.counts, refusals }
  const histograms: TimeHistograms = {
    sinceConsumption: createHistogram(client, metricTable.sinceConsumption),
    sincePublish: createHistogram(client, metricTable.sincePublish),
    relayConfirm: createHistogram(client, metricTable.relayConfirm),
    relayReceipt: createHistogram(client, metricTable.relayReceipt)
  }
  /** The names of the metrics that are in the registry. */
  const registered: string[] = []

  return {
    times: createTimes(histograms),

    /** A connection has opened. */
    connected (): void {
      counts.connects++
    },

    /** A connection has ended. */
    closed: closes.add,

    /** An upgrade was refused. */
    refused: refusals.add,

    /**
     * Registers all metrics that this application can have.
     * @throws FST_NOTIFICATION_METRICS_TAKEN
     */
    register (parts: SourceParts): void {
      const metrics = new Map<MetricName, object>()
      for (const [name, read] of Object.entries(createSources(parts, counts))) {
        metrics.set(name as MetricName, createCollected(client, metricTable[name as MetricName], read))
      }
      const { sinceConsumption, sincePublish, relayConfirm, relayReceipt } = histograms
      if (parts.broker !== undefined) metrics.set('sinceConsumption', sinceConsumption).set('sincePublish', sincePublish)
      if (parts.cluster !== undefined) metrics.set('relayConfirm', relayConfirm).set('relayReceipt', relayReceipt)

      const definitions = [...metrics.keys()].map(name => metricTable[name])
      assertFree(target, definitions)
      for (const [name, metric] of metrics) {
        target.registerMetric(metric)
        registered.push(metricTable[name].name)
      }
    },

    /** Removes the metrics from the registry. */
    async remove (): Promise<void> {
      const teardown = new Teardown(log)
      for (const name of registered.splice(0)) await teardown.try(() => target.removeSingleMetric(name))
      teardown.end()
    }
  }
}

/** @throws FST_NOTIFICATION_METRICS_TAKEN */
function assertFree (target: MetricsRegistry, definitions: readonly MetricDefinition[]): void {
  const taken = definitions.find(({ name }) => target.getSingleMetric(name) !== undefined)
  if (taken !== undefined) throw new errors.MetricsTaken(taken.name)
}

function createHistogram ({ Histogram }: PromClient, { name, help, labels, buckets }: MetricDefinition & { buckets: readonly number[] }) {
  return new Histogram({ name, help, labelNames: [...labels], buckets: [...buckets], registers: [] })
}

/** Creates a metric whose values are read when the registry collects it. */
function createCollected ({ Counter, Gauge }: PromClient, { name, type, help, labels }: MetricDefinition, read: () => Samples): Counter | Gauge {
  const configuration = { name, help, labelNames: [...labels], registers: [] as [] }
  if (type === 'counter') {
    return new Counter({
      ...configuration,
      collect () {
        this.reset()
        for (const [labels, value] of read()) this.inc(labels, value)
      }
    })
  }
  return new Gauge({
    ...configuration,
    collect () {
      this.reset()
      for (const [labels, value] of read()) this.set(labels, value)
    }
  })
}
