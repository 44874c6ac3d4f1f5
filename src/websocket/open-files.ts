import type { Server } from 'node:http'

/** File descriptors that are kept for what is no client: RabbitMQ, Redis, other servers, files. */
const RESERVED = 100

/** How many connections of clients this process may have open, by its limit of open files. */
export function maxClientSockets (): number {
  const report = process.report as typeof process.report & { excludeNetwork?: boolean } // from Node 22 on
  const { excludeNetwork } = report
  report.excludeNetwork = true // else the report looks up the names of addresses
  const { userLimits } = report.getReport() as { userLimits?: { open_files?: { soft: number | 'unlimited' } } }
  report.excludeNetwork = excludeNetwork ?? false
  const soft = userLimits?.open_files?.soft
  return typeof soft === 'number' ? Math.max(1, soft - RESERVED) : Infinity
}

/**
 * Keeps file descriptors for the connections to RabbitMQ and Redis: clients who take all of them would keep the plugin
 * from connecting again. Does nothing if the application has set `server.maxConnections`.
 */
export function reserveDescriptors (server: Pick<Server, 'maxConnections'>, maxSockets: number): void {
  if (server.maxConnections === undefined && maxSockets !== Infinity) server.maxConnections = maxSockets
}
