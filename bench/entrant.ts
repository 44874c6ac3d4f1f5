import type { Channel } from 'amqplib'
import { connectClients } from './clients.js'
import type { Contender } from './contenders.js'
import { createLedger, type Ledger } from './ledger.js'
import { startServer, together, type Server } from './server.js'
import type { Traffic } from './traffic.js'

/** The usual interval of heartbeats, in milliseconds. */
const HEARTBEAT = 25_000

export interface EntrantOptions {
  readonly contender: Contender
  readonly amqpUrl: string
  /** Of a cluster: where its nodes are, to which the instances connect in turn. */
  readonly nodes?: string[] | undefined
  readonly channel: Channel
  /** How many users, each with one connection. */
  readonly connections: number
  /** How many processes share the queue, and the users. */
  readonly instances?: number
  /** Whether each of them has a queue of its own, for its own users. */
  readonly isApart?: boolean
  /** How many of these have users. */
  readonly hosts?: number
  /** How many users are written to. */
  readonly addressed?: number
  /** Characters of a content. */
  readonly length?: number
  /** Whether messages have the properties that applications and tracing add. */
  readonly hasProperties?: boolean
  readonly queueType?: 'classic' | 'quorum'
  /** Whether the queue has a single active consumer, as one has that the plugin creates with `cluster: true`. */
  readonly isSingleActive?: boolean
  /** A folder for profiles of the processor time. */
  readonly profile?: string | undefined
  /** What else its server is told. */
  readonly env?: Record<string, string> | undefined
  /** Milliseconds between two pings of a connection. */
  readonly heartbeat?: number
}

/** A contender's server, its queue and its clients. */
export interface Entrant {
  readonly server: Server
  readonly traffic: Traffic
  readonly ledger: Ledger
  /** Connects the clients. */
  connect (): Promise<void>
  /** Ends the clients, then the server. */
  end (): Promise<void>
}

let entrants = 0

/** Declares a queue, and starts a contender that consumes it. */
export async function enter (options: EntrantOptions): Promise<Entrant> {
  const { contender, amqpUrl, channel, connections, addressed = connections, length = 100, hasProperties = false, queueType = 'classic', isSingleActive = false, heartbeat = HEARTBEAT, profile, env } = options
  const { nodes = [amqpUrl], instances = 1, hosts = instances, isApart = false } = options
  const queues = Array.from({ length: isApart ? instances : 1 }, () => `bench-${++entrants}`)
  for (const queue of queues) await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': queueType, ...(isSingleActive && { 'x-single-active-consumer': true }) } })
  const server = together(await Promise.all(Array.from({ length: instances }, (_, n) => {
    return startServer(contender.name, { AMQP_URL: nodes[n % nodes.length]!, QUEUE: queues[n % queues.length]!, HEARTBEAT: String(heartbeat), ...env }, profile)
  })))
  const userIds = Array.from({ length: connections }, (_, user) => `user-${user}`)
  const ledger = createLedger(connections, instances === queues.length || isSingleActive) // who shares a queue may overtake
  let disconnect = async () => {}

  return {
    server,
    ledger,
    traffic: { channel, queues, ledger, length, hasProperties, userIds: userIds.slice(0, addressed) },
    async connect () {
      const clients = await connectClients(server.urls.slice(0, hosts), userIds, contender.dialect, ledger.check)
      disconnect = clients.close
    },
    async end () {
      await disconnect()
      await server.end()
      for (const queue of queues) {
        await channel.deleteQueue(queue)
        await channel.deleteQueue(`${queue}.dead`)
        await channel.deleteExchange(`${queue}.relay`)
      }
    }
  }
}
