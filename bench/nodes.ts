import { connect } from 'amqplib'
import { startPrivateRabbitMQCluster } from '../support/private-rabbitmq-cluster.js'
import type { Bench } from './workloads.js'

/** Measures on a private cluster of three nodes. */
export async function onThreeNodes (bench: Bench, measure: (bench: Bench) => Promise<void>): Promise<void> {
  const cluster = await startPrivateRabbitMQCluster({ log: bench.log })
  try {
    const [node] = cluster.nodes
    const connection = await connect(node!.url, { noDelay: true })
    connection.on('error', () => {}) // where a workload fails, the broker goes first, and would hide why
    const channel = await connection.createChannel()
    await measure({ ...bench, common: { ...bench.common, amqpUrl: node!.url, nodes: cluster.urls, channel }, ctl: node!.ctl })
    await connection.close()
  } finally {
    await cluster.remove()
  }
}
