import { randomBytes } from 'node:crypto'
import { PrivateRabbitMQError, startNode, type PrivateRabbitMQ, type PrivateRabbitMQOptions } from './private-rabbitmq.js'
import { findRabbitMQ, RabbitMQUnavailableError } from './rabbitmq/install.js'
import { startSupervised } from './supervised.js'

/** What a private cluster may be told: its plugins and configuration are those of each node. */
export interface PrivateRabbitMQClusterOptions extends PrivateRabbitMQOptions {
  /** How many nodes it has. @default 3 */
  nodes?: number
}

/** A node of a cluster. Killed or stopped, and started again, it joins the others by itself, with its data. */
export interface PrivateRabbitMQMember extends PrivateRabbitMQ {
  /** By which the other nodes know it, as in `rabbitmqctl cluster_status`. */
  readonly name: string
}

/**
 * A RabbitMQ cluster of one's own. It goes when the process that started it goes, whichever way. Where all nodes are
 * down, start them together: RabbitMQ waits for the one that was up last. A frozen node is given up by the others after
 * about ten seconds; resumed later, it stays apart until it is started again, or joins them by itself where the
 * configuration has `cluster_partition_handling: 'pause_minority'`.
 */
export interface PrivateRabbitMQCluster extends AsyncDisposable {
  readonly nodes: PrivateRabbitMQMember[]
  /** Of the nodes, in their order. */
  readonly urls: string[]
  /**
   * Kills the nodes and everything that belongs to them, and deletes their folders. May be called again.
   * @returns once nothing is left
   * @throws {PrivateRabbitMQError} where something can't be removed
   */
  remove (): Promise<void>
}

/**
 * Starts a cluster of RabbitMQ nodes in temporary folders, on free ports of 127.0.0.1. The event loop stays alive
 * until `remove()`.
 * @param options how many, how they are configured, and where to log
 * @returns the cluster, once its nodes see each other and answer AMQP connections
 * @throws {RabbitMQUnavailableError} where there is no installed server and none can be installed
 * @throws {PrivateRabbitMQError} with the end of a node's log where it doesn't start
 */
export async function startPrivateRabbitMQCluster (
  { nodes: count = 3, log, install = true, plugins = [], config = {} }: PrivateRabbitMQClusterOptions = {}
): Promise<PrivateRabbitMQCluster> {
  const source = await findRabbitMQ({ install, log })
  if (source === 'docker') {
    throw new RabbitMQUnavailableError('A cluster needs an installed server: `apt-get install rabbitmq-server` on Debian and Ubuntu')
  }
  log?.(`starting a private RabbitMQ cluster of ${count} nodes`)
  const startedAt = performance.now()

  const id = randomBytes(4).toString('hex')
  const names = Array.from({ length: count }, (_, index) => `private-${id}-${index + 1}@localhost`)
  const cookie = randomBytes(16).toString('hex')
  // Not a node's, with which it would be killed.
  const { server: epmd } = await startSupervised({ kind: 'epmd', name: 'epmd', options: {}, PrivateError: PrivateRabbitMQError })
  async function startMember (name: string, index: number): Promise<PrivateRabbitMQMember> {
    const options = { plugins, config: { ...formation(names, index), ...config }, member: { name, cookie, epmdPort: epmd.port } }
    return { ...await startNode(source, options), name }
  }
  // The first has to be up: one that joins it before it has enabled its feature flags has other tables, and does not start.
  const starts = await Promise.allSettled([startMember(names[0]!, 0)])
  if (starts[0]!.status === 'fulfilled') starts.push(...await Promise.allSettled(names.slice(1).map((name, index) => startMember(name, index + 1))))
  const nodes = starts.flatMap((start) => start.status === 'fulfilled' ? [start.value] : [])

  async function remove (): Promise<void> {
    throwFirst(await Promise.allSettled([...nodes, epmd].map((server) => server.remove())))
  }

  try {
    throwFirst(starts)
    await nodes[0]!.ctl('await_online_nodes', String(count))
  } catch (error) {
    await remove()
    throw error
  }
  log?.(`RabbitMQ answers on ports ${nodes.map(({ port }) => port).join(', ')} after ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`)

  return { nodes, urls: nodes.map(({ url }) => url), remove, [Symbol.asyncDispose]: remove }
}

/**
 * How a node finds the others when it starts for the first time. They join the first: with RabbitMQ 3.10, a node
 * that could choose among several would first wait for those that wait for it. From RabbitMQ 4.0 on, a node chooses the
 * one whose Erlang started first, itself included. So the first must be the oldest: else another one stays alone.
 */
function formation (names: string[], index: number): Record<string, string> {
  if (index === 0) return {}
  return {
    'cluster_formation.peer_discovery_backend': 'classic_config',
    'cluster_formation.classic_config.nodes.1': names[0]!,
    'cluster_formation.discovery_retry_limit': '500',
    'cluster_formation.discovery_retry_interval': '100', // ms
    // One joins after the other. Erlang's own waits for the lock grow to 8 s.
    'cluster_formation.internal_lock_retries': '1',
    'cluster_formation.lock_retry_limit': '500',
    'cluster_formation.lock_retry_timeout': '100' // ms
  }
}

function throwFirst (results: Array<PromiseSettledResult<unknown>>): void {
  const failure = results.find((result) => result.status === 'rejected')
  if (failure !== undefined) throw failure.reason
}
