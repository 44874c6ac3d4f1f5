import type { FastifyBaseLogger } from 'fastify'
import { errors } from '../../errors.js'
import type { MetricsRegistry } from '../../options/values.js'
import { Teardown } from '../../teardown.js'
import { createCloses } from './closes.js'
import { loadPromClient, type Counter, type Gauge, type PromClient } from './prom-client.js'
import { createRefusals } from './refusals.js'
import { createSources, type Samples, type SourceParts } from './sources.js'
import { metricTable, type MetricDefinition, type MetricName } from './table.js'
import { Times, type TimeHistograms } from './times.js'

export type { Times } from './times.js'

/**
 * Creates the metrics of one instance.
 * @param load loads prom-client
 * @throws FST_NOTIFICATION_METRICS_NO_CLIENT, FST_NOTIFICATION_METRICS_TAKEN
 */
export async function createMetrics (target: MetricsRegistry, log: FastifyBaseLogger, load?: () => Promise<PromClient>): Promise<Metrics> {
  const client = await loadPromClient(load)
  assertFree(target, Object.values(metricTable))
  return new Metrics(client, target, log)
}

/** The metrics of one instance, in the application's own registry of prom-client. */
export class Metrics {
  /** Measures how long messages and relays take. */
  readonly times: Times
  readonly #client: PromClient
  readonly #target: MetricsRegistry
  readonly #log: FastifyBaseLogger
  readonly #histograms: TimeHistograms
  readonly #closes = createCloses()
  readonly #refusals = createRefusals()
  readonly #counts = { connects: 0, closes: this.#closes.counts, refusals: this.#refusals }
  /** The names of the metrics that are in the registry. */
  readonly #registered: string[] = []

  constructor (client: PromClient, target: MetricsRegistry, log: FastifyBaseLogger) {
    this.#client = client
    this.#target = target
    this.#log = log
    this.#histograms = {
      sinceConsumption: createHistogram(client, metricTable.sinceConsumption),
      sincePublish: createHistogram(client, metricTable.sincePublish),
      marker: createHistogram(client, metricTable.marker),
      relayReceipt: createHistogram(client, metricTable.relayReceipt),
      recipients: createHistogram(client, metricTable.recipients)
    }
    this.times = new Times(this.#histograms)
  }

  // Others call these as functions, without this object.

  /** A connection has opened. */
  readonly connected = (): void => { this.#counts.connects++ }

  /** A connection has ended. */
  readonly closed = this.#closes.add

  /** An upgrade was refused. */
  readonly refused = this.#refusals.add

  /**
   * Registers all metrics that this application can have.
   * @throws FST_NOTIFICATION_METRICS_TAKEN
   */
  register (parts: SourceParts): void {
    const metrics = new Map<MetricName, object>()
    for (const [name, read] of Object.entries(createSources(parts, this.#counts))) {
      metrics.set(name as MetricName, createCollected(this.#client, metricTable[name as MetricName], read))
    }
    const { sinceConsumption, sincePublish, marker, relayReceipt, recipients } = this.#histograms
    metrics.set('recipients', recipients)
    if (parts.broker !== undefined) metrics.set('sinceConsumption', sinceConsumption).set('sincePublish', sincePublish)
    if (parts.cluster !== undefined) metrics.set('marker', marker).set('relayReceipt', relayReceipt)

    const definitions = [...metrics.keys()].map(name => metricTable[name])
    assertFree(this.#target, definitions)
    for (const [name, metric] of metrics) {
      this.#target.registerMetric(metric)
      this.#registered.push(metricTable[name].name)
    }
  }

  /** Removes the metrics from the registry. */
  async remove (): Promise<void> {
    const teardown = new Teardown(this.#log)
    for (const name of this.#registered.splice(0)) await teardown.try(() => this.#target.removeSingleMetric(name))
    teardown.end()
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
