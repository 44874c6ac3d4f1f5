import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'amqplib'
import { createAuthority } from '../support/certificates.js'
import { startPrivateRabbitMQ, type PrivateRabbitMQ } from '../support/private-rabbitmq.js'
import { startPrivateRabbitMQCluster } from '../support/private-rabbitmq-cluster.js'
import type { Bench } from './workloads.js'

/** Measures on a private cluster of three nodes. */
export async function onThreeNodes (bench: Bench, measure: (bench: Bench) => Promise<void>): Promise<void> {
  const cluster = await startPrivateRabbitMQCluster({ log: bench.log })
  try {
    await onNode(bench, cluster.nodes[0]!, cluster.urls, measure)
  } finally {
    await cluster.remove()
  }
}

/**
 * Measures with a broker that contenders reach by TLS; messages are published without.
 * @param measure is given what the contenders have to be told
 */
export async function overTls (bench: Bench, measure: (bench: Bench, env: Record<string, string>) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'bench-'))
  try {
    const { ca, sign } = createAuthority(folder)
    const file = join(folder, 'ca.pem')
    await writeFile(file, ca)
    const node = await startPrivateRabbitMQ({ log: bench.log, tls: { ca, ...sign('localhost', ['DNS:localhost']) } })
    try {
      await onNode(bench, node, [`amqps://guest:guest@localhost:${node.tlsPort}`], async bench => { await measure(bench, { NODE_EXTRA_CA_CERTS: file }) })
    } finally {
      await node.remove()
    }
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** Measures with a node, which contenders reach by other URLs than the bench. */
async function onNode (bench: Bench, { url, ctl }: PrivateRabbitMQ, nodes: string[], measure: (bench: Bench) => Promise<void>): Promise<void> {
  const connection = await connect(url, { noDelay: true })
  connection.on('error', () => {}) // where a workload fails, the broker goes first, and would hide why
  const channel = await connection.createChannel()
  await measure({ ...bench, common: { ...bench.common, amqpUrl: url, nodes, channel }, ctl })
  await connection.close()
}
