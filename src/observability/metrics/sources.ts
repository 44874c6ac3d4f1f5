import type { Cluster } from '../../cluster/index.js'
import type { Broker } from '../../rabbitmq/broker.js'
import { healthStates, type Health } from '../health.js'
import type { ManagedHoldStore } from '../../hold/index.js'
import type { Options } from '../../options/schema.js'
import type { Registry } from '../../delivery/registry.js'
import type { Sockets } from '../../websocket/sockets.js'
import type { StatsSnapshot } from '../stats.js'
import type { Labels } from './prom-client.js'
import type { MetricName } from './table.js'
import type { Waits } from '../waits.js'

export type Samples = Array<readonly [Labels, number]>

/** Functions that read a metric when it is collected. Metrics that the application can't have are absent. */
export type Sources = Partial<Record<MetricName, () => Samples>>

export interface SourceParts {
  options: Options
  registry: Registry
  sockets: Pick<Sockets, 'size' | 'bufferedBytes'>
  broker: Broker | undefined
  cluster: Cluster | undefined
  store: ManagedHoldStore | undefined
  waits: Pick<Waits, 'countByQueue'>
  health (): Pick<Health, 'state' | 'ready' | 'unprotected'>
  stats (): StatsSnapshot
}

export interface ConnectionCounts {
  readonly connects: number
  readonly closes: ReadonlyMap<string, number>
  readonly refusals: { readonly counts: Iterable<{ status: string, reason: string, count: number }> }
}

/** Reads each metric from the place that counts it already, so that nothing is counted twice. */
export function createSources ({ options, registry, sockets, broker, cluster, store, waits, health, stats }: SourceParts, counts: ConnectionCounts): Sources {
  return {
    messages () {
      const { acknowledged, sent, held, offline, ignored, deadLettered } = stats()
      const outcomes = Object.entries({ acknowledged, sent, held, offline, ignored }).map(([outcome, count]) => [{ outcome }, count] as const)
      const letters = Object.entries(deadLettered).map(([reason, count]) => [{ outcome: 'dead-lettered', reason }, count] as const)
      return [...outcomes, ...letters]
    },
    state () {
      const { state: current } = health()
      return healthStates.map(state => [{ state }, Number(state === current)])
    },
    ready: () => single(Number(health().ready)),
    unprotected: () => single(Number(health().unprotected)),
    connections: () => single(sockets.size),
    connectionsLimit: () => single(options.limits.connections),
    users: () => single(registry.users.size),
    connects: () => single(counts.connects),
    closes: () => Array.from(counts.closes, ([code, count]) => [{ code }, count]),
    refused: () => Array.from(counts.refusals.counts, ({ status, reason, count }) => [{ status, reason }, count]),
    bufferedBytes: () => single(sockets.bufferedBytes),
    ...(broker && brokerSources(broker, cluster, options, waits, stats)),
    ...(store && holdSources(store, stats))
  }
}

function brokerSources ({ consumers, publisher, deadLetters, memory }: Broker, cluster: Cluster | undefined, { prefetch }: Options, waits: Pick<Waits, 'countByQueue'>, stats: () => StatsSnapshot): Sources {
  const connections = [
    ...consumers.map(({ queue, connection }) => ({ purpose: 'consumer', queue, connection })),
    { purpose: 'publisher', connection: publisher.connection },
    ...(cluster === undefined ? [] : [{ purpose: 'relay', connection: cluster.connection }])
  ]
  return {
    abandoned: () => single(stats().abandoned),
    unsettled: () => consumers.map(({ queue, unsettled }) => [{ queue }, unsettled]),
    waiting: () => Array.from(waits.countByQueue(), ([queue, counts]) => Object.entries(counts).map(([cause, count]) => [{ queue, cause }, count] as const)).flat(),
    unsettledBytes: () => single(memory.bytes),
    prefetch: () => consumers.map(({ queue }) => [{ queue }, prefetch]),
    highestDeliveryCount: () => consumers.map(({ queue, limitWatch }) => [{ queue }, limitWatch.highest]),
    deliveryLimit: () => consumers.flatMap(({ queue, limitWatch: { limit } }) => limit === Infinity ? [] : [[{ queue }, limit]]),
    deadLettersFailing: () => single(Number(deadLetters.isFailing)),
    ...(cluster === undefined && { otherConsumers: () => consumers.map(({ queue, others }) => [{ queue }, others?.count ?? 0] as const) }),
    consuming: () => consumers.map(({ queue, consuming }) => [{ queue }, Number(consuming)]),
    reconnects: () => connections.map(({ connection: { reconnects }, ...labels }) => [labels, reconnects]),
    ...(cluster && {
      relayed: () => single(stats().relayed),
      unsent: () => Object.entries(stats().unsent).map(([reason, count]) => [{ reason }, count]),
      peers: () => single(cluster.counts.peers),
      peerUsers: () => single(cluster.counts.users),
      announcements: () => single(cluster.counts.announcements),
      framesDropped: () => Object.entries(cluster.dropped).map(([fault, count]) => [{ fault }, count])
    })
  }
}

function holdSources (store: ManagedHoldStore, stats: () => StatsSnapshot): Sources {
  return {
    released: () => single(stats().released),
    dropped: () => Object.entries(stats().dropped).map(([reason, count]) => [{ reason }, count]),
    holdFailing: () => single(Number(store.failing)),
    ...(store.size !== undefined && { held: () => single(store.size!) })
  }
}

const single = (value: number): Samples => [[{}, value]]
