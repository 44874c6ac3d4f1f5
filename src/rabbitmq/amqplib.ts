import { credentials, type Channel, type ChannelModel, type SocketOptions } from 'amqplib'
import { errors } from '../errors.js'
import { internals } from './amqplib-internals.js'
import { withTimeout } from '../with-timeout.js'

/**
 * What amqplib leaves to its users: the login, errors, and the orderly close.
 */

/** RabbitMQ's guide to heartbeats: 5 to 20 s suit most environments. A dead broker is noticed after two to three heartbeats. */
const HEARTBEAT_SECONDS = 10

/** How long the broker may take to end its side of a TCP connection, in milliseconds. */
const LINGER = 1_000

/** Adds a heartbeat to the URL if it has none. */
export function withHeartbeat (amqpUrl: string): string {
  const url = new URL(amqpUrl)
  if (!url.searchParams.has('heartbeat')) url.searchParams.set('heartbeat', String(HEARTBEAT_SECONDS))
  return url.href
}

/** The user and the password of the URL, in UTF-8: amqplib would decode them as Latin-1. Empty if the URL has neither. */
export function loginOf (amqpUrl: string): Pick<SocketOptions, 'credentials'> {
  const { username, password } = new URL(amqpUrl)
  if (username === '' && password === '') return {}
  return { credentials: credentials.plain(decodeURIComponent(username), decodeURIComponent(password)) }
}

/** What amqplib says when the broker closes the connection instead of opening the virtual host. */
const NO_VIRTUAL_HOST = /^Expected ConnectionOpenOk; got <ConnectionClose/

/** What RabbitMQ says to a second consumer of a queue whose consumer is exclusive. */
const EXCLUSIVE_CONSUMER = /(queue '.*') in vhost '.*' in exclusive use/

/** The name with which a URL logs in: amqplib's default is `guest`. */
export function userNameOf (amqpUrl: string): string {
  const { username, password } = new URL(amqpUrl)
  return username === '' && password === '' ? 'guest' : decodeURIComponent(username)
}

/** Whether a queue or an exchange is not as the options need it. Such an error has a code and a text of its own. */
export function isUnusable (error: unknown): error is Error {
  return error instanceof errors.UnusableQueue || error instanceof errors.MissingExchange
}

/**
 * Whether the broker refuses the credentials or a permission (AMQP 0-9-1 §1.1: 403 access-refused), or a queue
 * is unusable. A retry does not help.
 */
export function isRefusal (error: unknown): error is Error {
  return isUnusable(error) ||
    (error instanceof Error && (/ACCESS[-_]REFUSED/.test(error.message) || NO_VIRTUAL_HOST.test(error.message)))
}

/** The error with which the start fails: coded, and with the error that has caused it. */
export function toStartError (broker: string, error: unknown): Error {
  if (isUnusable(error)) return error
  const CodedError = isRefusal(error) ? errors.BrokerRefused : errors.BrokerUnreachable
  return new CodedError(broker, reason(error), { cause: error })
}

/** The text of an error. If Node has joined the errors of several addresses, the message is empty, and the code is used. */
export function reason (error: unknown): string {
  const { message, code } = error as { message?: string, code?: string }
  if (message !== undefined && NO_VIRTUAL_HOST.test(message)) return 'the virtual host is not there, or not for this user'
  const queue = EXCLUSIVE_CONSUMER.exec(message ?? '')?.[1]
  if (queue !== undefined) return `the ${queue} has an exclusive consumer: stop that one, or let it consume without 'exclusive'`
  return message || code || String(error)
}

/** Closes a channel. Resolves too if the connection ends before the broker has answered: amqplib doesn't report that. */
export async function closeChannel (channel: Channel): Promise<void> {
  const closed = new Promise<void>(resolve => channel.once('close', () => resolve()))
  await Promise.race([channel.close(), closed]).catch(() => {}) // it was closed already
}

/**
 * Closes a connection in an orderly way. If the broker doesn't answer in time, destroys the socket.
 * @param timeout in milliseconds
 */
export async function closeModel (model: ChannelModel, timeout: number): Promise<void> {
  const closed = new Promise<void>(resolve => model.once('close', () => resolve()))
  const answered = Promise.race([model.close().catch(() => {}), closed])
  if (await withTimeout(timeout, answered)) return
  model.on('error', () => {})
  loseModel(model, 'the broker did not answer')
}

/** Destroys the socket of a connection, as if the network had failed. */
export function loseModel (model: ChannelModel, why: string): void {
  internals(model).stream.destroy(new Error(why))
}

/** Destroys the socket if the broker doesn't end its side. amqplib would wait: a frozen broker would keep the process alive for minutes. */
export function destroyAfterLinger (model: ChannelModel): void {
  const { stream } = internals(model)
  const timer = setTimeout(() => stream.destroy(), LINGER)
  stream.once('close', () => clearTimeout(timer))
}
