/**
 * The client of the subprotocol `notification.v1`, for browsers and Node. It has no dependencies and no build step.
 *
 * A library that reconnects WebSockets would do only the smaller part. In this protocol, the close codes tell whether
 * to connect again, a connection is open when the `welcome` frame has arrived, and acks belong to the connection that
 * delivered the notification. Apart from these rules, only one timer remains.
 */
export { NotificationClient, type NotificationClientState } from './client.js'
export type { NotificationClientOptions } from './options.js'
export {
  ClientErrorEvent, ConnectionCloseEvent, DismissEvent, EndedEvent, NotificationEvent, OpenEvent,
  type NotificationClientEvents, type ReceivedNotification
} from './events.js'
export type { WebSocketConstructor, WebSocketLike } from './platform.js'
