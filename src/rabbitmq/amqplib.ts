import type { Socket } from 'node:net'
import { credentials, type Channel, type ChannelModel, type SocketOptions } from 'amqplib'
import { errors } from '../errors.js'
import { withTimeout } from '../with-timeout.js'

/**
 * What amqplib leaves to its users: how to log in and to close, and how to bear what would end a connection.
 */

/** RabbitMQ's guide to heartbeats: 5 to 20 s suit most environments. A dead peer is seen after two to three. */
const HEARTBEAT_SECONDS = 10

/** How long a peer gets to answer our end of a TCP connection before it is destroyed, in milliseconds. */
const LINGER = 1_000

/** The URL with a heartbeat, where it names none. */
export function withHeartbeat (amqpUrl: string): string {
  const url = new URL(amqpUrl)
  if (!url.searchParams.has('heartbeat')) url.searchParams.set('heartbeat', String(HEARTBEAT_SECONDS))
  return url.href
}

/** The URL's user and password in UTF-8, which amqplib would read as Latin-1; none where it names none. */
export function loginOf (amqpUrl: string): Pick<SocketOptions, 'credentials'> {
  const { username, password } = new URL(amqpUrl)
  if (username === '' && password === '') return {}
  return { credentials: credentials.plain(decodeURIComponent(username), decodeURIComponent(password)) }
}

/** What amqplib says when the broker closes the connection instead of opening the virtual host. */
const NO_VIRTUAL_HOST = /^Expected ConnectionOpenOk; got <ConnectionClose/

/** Credentials and permissions (AMQP 0-9-1 §1.1: 403 access-refused) don't become right by trying them again, nor does a queue. */
export function isRefusal (error: unknown): error is Error {
  return error instanceof errors.UnusableQueue ||
    (error instanceof Error && (/ACCESS[-_]REFUSED/.test(error.message) || NO_VIRTUAL_HOST.test(error.message)))
}

/** An error in words, also where Node gathers several addresses' errors into one without a message. */
export function reason (error: unknown): string {
  const { message, code } = error as { message?: string, code?: string }
  if (message !== undefined && NO_VIRTUAL_HOST.test(message)) return 'the virtual host is not there, or not for this user'
  return message || code || String(error)
}

/** Closes a channel; done too when its connection ends before the broker has answered, of which amqplib says nothing. */
export async function closeChannel (channel: Channel): Promise<void> {
  const closed = new Promise<void>(resolve => channel.once('close', () => resolve()))
  await Promise.race([channel.close(), closed]).catch(() => {}) // it was closed already
}

/** Closes a connection in an orderly way; where the peer doesn't answer within a time in milliseconds, ends it. */
export async function closeModel (model: ChannelModel, timeout: number): Promise<void> {
  const closed = new Promise<void>(resolve => model.once('close', () => resolve()))
  const answered = Promise.race([model.close().catch(() => {}), closed])
  if (await withTimeout(timeout, answered)) return
  model.on('error', () => {})
  loseModel(model, 'the broker did not answer')
}

/** Ends a connection as if the network had. */
export function loseModel (model: ChannelModel, why: string): void {
  internals(model).stream.destroy(new Error(why))
}

/** After a connection's end amqplib waits for the peer's: a frozen one would keep the process alive for minutes. */
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
 * Lets a message with properties that amqplib can't decode (tables nested deeper than the stack, types that it doesn't
 * know) arrive without them. It would end the connection instead, and the broker deliver the message again: for ever.
 */
export function surviveUndecodableProperties (model: ChannelModel): void {
  const connection = internals(model)
  const { recvFrame } = connection
  connection.recvFrame = function () {
    const { rest } = connection
    try {
      return recvFrame.call(connection)
    } catch (error) {
      // Only this error leaves the frame taken from the buffer: the next one can be read.
      if (connection.rest === rest || rest[0] !== FRAME_HEADER) throw error
      return { id: BASIC, channel: rest.readUInt16BE(1), size: Number(rest.readBigUInt64BE(BODY_SIZE_AT)), fields: { headers: {} } }
    }
  }
}

/** Parts of amqplib's connection that its types leave out. */
interface ConnectionInternals {
  stream: Socket
  /** What has been received and not decoded yet. */
  rest: Buffer
  /** Decodes one frame. */
  recvFrame (): unknown
}

function internals (model: ChannelModel): ConnectionInternals {
  return model.connection as unknown as ConnectionInternals
}
