import type { Socket } from 'node:net'
import { credentials, type Channel, type ChannelModel, type SocketOptions } from 'amqplib'
import { errors } from '../errors.js'
import { withTimeout } from '../with-timeout.js'

/**
 * What amqplib leaves to its users: the login, the orderly close, and messages that amqplib can't decode.
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

/**
 * Whether the broker refuses the credentials or a permission (AMQP 0-9-1 §1.1: 403 access-refused), or the queue is
 * unusable. A retry does not help.
 */
export function isRefusal (error: unknown): error is Error {
  return error instanceof errors.UnusableQueue ||
    (error instanceof Error && (/ACCESS[-_]REFUSED/.test(error.message) || NO_VIRTUAL_HOST.test(error.message)))
}

/** The text of an error. If Node has joined the errors of several addresses, the message is empty, and the code is used. */
export function reason (error: unknown): string {
  const { message, code } = error as { message?: string, code?: string }
  if (message !== undefined && NO_VIRTUAL_HOST.test(message)) return 'the virtual host is not there, or not for this user'
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

/** AMQP 0-9-1 §2.3.5: a frame is its type, channel and size in 7 bytes, then the payload. */
const FRAME_HEADER = 2
/** §2.3.5.2: a content header begins with class and weight, in 4 bytes, then the size of the body. */
const BODY_SIZE_AT = 7 + 4
/** §1.8.3: the class of basic properties. */
const BASIC = 60

/**
 * Delivers a message without its properties if amqplib can't decode them (tables nested deeper than the stack, unknown
 * types). amqplib would end the connection, and the broker would deliver the message again, for ever.
 */
export function surviveUndecodableProperties (model: ChannelModel): void {
  const connection = internals(model)
  const { recvFrame } = connection
  connection.recvFrame = function () {
    const { rest } = connection
    try {
      return recvFrame.call(connection)
    } catch (error) {
      // Only after a decoding error is the frame out of the buffer. Then the next frame can be read.
      if (connection.rest === rest || rest[0] !== FRAME_HEADER) throw error
      return { id: BASIC, channel: rest.readUInt16BE(1), size: Number(rest.readBigUInt64BE(BODY_SIZE_AT)), fields: { headers: {} } }
    }
  }
}

/** Members of amqplib's connection that its types leave out. */
interface ConnectionInternals {
  stream: Socket
  /** The received bytes that are not decoded yet. */
  rest: Buffer
  /** Decodes one frame. */
  recvFrame (): unknown
}

function internals (model: ChannelModel): ConnectionInternals {
  return model.connection as unknown as ConnectionInternals
}
