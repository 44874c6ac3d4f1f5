import { plain, rich, socketIO, welcomed, type Dialect } from './clients.js'

/** What a user would otherwise write or pick. */
export interface Contender {
  /** Its file in `contenders/`. */
  readonly name: string
  readonly title: string
  readonly dialect: Dialect
}

export const autoAck: Contender = { name: 'auto-ack', title: 'by hand, auto-ack', dialect: plain }
export const ackPerMessage: Contender = { name: 'ack-per-message', title: 'by hand, ack per message', dialect: plain }
export const rooms: Contender = { name: 'socket-io', title: 'Socket.IO, auto-ack', dialect: socketIO }
export const acknowledged: Contender = { name: 'acknowledged', title: "fastify-notification, settle: 'acknowledged'", dialect: rich }
export const ackBridge: Contender = { name: 'ack-bridge', title: 'by hand, waits for acks of clients', dialect: rich }
export const groups: Contender = { name: 'groups', title: 'fastify-notification, groups', dialect: plain }
export const hold: Contender = { name: 'hold', title: "fastify-notification, offline: 'hold'", dialect: plain }
export const floor: Contender = { name: 'floor', title: 'a framed Buffer to each socket', dialect: plain }
export const ours: Contender = { name: 'fastify-notification', title: 'fastify-notification', dialect: plain }
export const cluster: Contender = { name: 'cluster', title: 'fastify-notification, cluster: true', dialect: plain }
/** Both, where one counts as connected when it can be reached. */
export const welcoming: Contender = { ...ours, dialect: welcomed }
export const clusterWelcoming: Contender = { ...cluster, dialect: welcomed }

/** Those that do the same, ours last. */
export const everybody = [autoAck, ackPerMessage, rooms, ours]
