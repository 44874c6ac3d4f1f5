import { plain, socketIO, type Dialect } from './clients.js'

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
export const ours: Contender = { name: 'fastify-notification', title: 'fastify-notification', dialect: plain }
