/**
 * The client of the subprotocol `notification.v1`, for browsers and for Node: no dependency, no build step.
 *
 * A well-kept library that reconnects WebSockets would do the smaller half only. Whether to connect again is in this
 * protocol's close codes, a connection is up when the `welcome` has come, and acks belong to the connection that
 * delivered: the rules are ours, and what is left is one timer.
 */
export { NotificationClient, type NotificationClientState } from './client.js'
export type { NotificationClientOptions } from './options.js'
export {
  ClientErrorEvent, ConnectionCloseEvent, DismissEvent, EndedEvent, NotificationEvent, OpenEvent,
  type NotificationClientEvents, type ReceivedNotification
} from './events.js'
export type { WebSocketConstructor, WebSocketLike } from './platform.js'
