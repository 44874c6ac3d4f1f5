import { setTimeout as delay } from 'node:timers/promises'
import { freePorts } from './network.mjs'
import { findRabbitMQ, type RabbitMQSource } from './rabbitmq/install.js'
import { startSupervised, type PrivateServer } from './supervised.js'

export { RabbitMQUnavailableError, type RabbitMQSource } from './rabbitmq/install.js'

/** What a private node may be told. */
export interface PrivateRabbitMQOptions {
  /** Told what takes time. @default nothing is logged */
  log?: (line: string) => void
  /** Whether a missing server may be installed with apt-get. @default true */
  install?: boolean
  /** Plugins to enable. Mind that some open ports of their own. @default [] */
  plugins?: string[]
  /** Lines of rabbitmq.conf. @default {} */
  config?: Record<string, string>
  /** A listener for TLS, beside the one without. @default there is none */
  tls?: TlsListener
}

/** What a node shows to clients that connect by TLS, and what it demands of them. */
export interface TlsListener {
  /** The authorities of clients, in PEM. */
  ca: string
  /** The certificate of the node, in PEM. */
  cert: string
  /** Its key, in PEM. */
  key: string
  /** Whether a client has to show a certificate of one of the authorities. @default false */
  demandsCertificate?: boolean
}

/**
 * A RabbitMQ node of one's own. It goes when the process that started it goes, whichever way. Mind that RabbitMQ
 * itself loses a quorum queue that was declared less than about two seconds before `kill()`.
 */
export interface PrivateRabbitMQ extends PrivateServer {
  /** `amqp://guest:guest@127.0.0.1:PORT`, the same for the node's whole life. */
  readonly url: string
  /** The port of the listener for TLS; undefined if there is none. */
  readonly tlsPort: number | undefined
  readonly source: RabbitMQSource
  /**
   * Runs `rabbitmqctl --quiet` on this node.
   * @param args its command and arguments
   * @returns what it printed
   * @throws {PrivateRabbitMQError} with what it printed on stderr where it fails
   */
  ctl (...args: string[]): Promise<string>
}

/** What a node is created with. */
export interface NodeOptions extends Required<Pick<PrivateRabbitMQOptions, 'plugins' | 'config'>> {
  tls?: TlsListener & { port: number }
  /** What the nodes of a cluster have in common, and the name by which this one is known to the others. */
  member?: { name: string, cookie: string, epmdPort: number }
}

/** How long RabbitMQ may take to run once it answers, in milliseconds; far above what it takes. */
const STARTUP_TIMEOUT = 30_000

/** Thrown where a private node can't do what it was asked; the message says why. */
export class PrivateRabbitMQError extends Error {
  readonly code = 'PRIVATE_RABBITMQ_FAILED'
  override readonly name = 'PrivateRabbitMQError'
}

/**
 * Starts a RabbitMQ node in a temporary folder, on free ports of 127.0.0.1. The event loop stays alive
 * until `remove()`.
 * @param options what to enable, and where to log
 * @returns the node, once it answers AMQP connections
 * @throws {RabbitMQUnavailableError} where there is no RabbitMQ and none can be got
 * @throws {PrivateRabbitMQError} with the end of the node's log where it doesn't start
 */
export async function startPrivateRabbitMQ (
  { log, install = true, plugins = [], config = {}, tls }: PrivateRabbitMQOptions = {}
): Promise<PrivateRabbitMQ> {
  const source = await findRabbitMQ({ install, log })
  log?.(`starting a private RabbitMQ (${source === 'docker' ? 'in Docker' : 'installed server'})`)
  const startedAt = performance.now()

  const [tlsPort] = await freePorts(1)
  const node = await startNode(source, { plugins, config, ...(tls && { tls: { ...tls, port: tlsPort! } }) })
  log?.(`RabbitMQ answers on port ${node.port} after ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`)
  return node
}

/**
 * Starts a node, alone or as a member of a cluster.
 * @param source where it comes from
 * @param options what it is created with
 * @returns the node, once it answers AMQP connections
 * @throws {PrivateRabbitMQError} with the end of the node's log where it doesn't start
 */
export async function startNode (source: RabbitMQSource, options: NodeOptions): Promise<PrivateRabbitMQ> {
  const { server, request } = await startSupervised({
    kind: `rabbitmq-${source}`, name: 'RabbitMQ', options, PrivateError: PrivateRabbitMQError
  })
  return {
    ...server,
    url: `amqp://guest:guest@127.0.0.1:${server.port}`,
    tlsPort: options.tls?.port,
    source,
    async ctl (...args) {
      for (const deadline = performance.now() + STARTUP_TIMEOUT; ; await delay(200)) {
        try {
          return await request('ctl', args) as string
        } catch (error) {
          // RabbitMQ 4.3 answers AMQP connections a moment before rabbitmqctl finds that it is running.
          if (!(error as Error).message.includes("requires the 'rabbit' app to be running") || performance.now() > deadline) throw error
        }
      }
    }
  }
}
