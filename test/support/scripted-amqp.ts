// A connection of amqplib whose broker is a script: the test says which bytes arrive, and in which chunks.
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Duplex } from 'node:stream'
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib'

/** amqplib's own encoder and its connection, which its package does not export. */
const require = createRequire(import.meta.url)
const lib = (name: string) => require(join(dirname(require.resolve('amqplib')), 'lib', name))
type Method = 'BasicCancel' | 'BasicConsumeOk' | 'BasicDeliver' | 'BasicProperties' | 'BasicReturn' | 'ChannelClose' | 'ChannelOpenOk' | 'ConnectionClose' | 'ConnectionOpenOk' | 'ConnectionStart' | 'ConnectionTune'

interface Encoder {
  encodeMethod (method: number, channel: number, fields: object): Buffer
  encodeProperties (properties: number, channel: number, bodySize: number, fields: object): Buffer
}
/** The numbers of methods, and what encodes them. */
export const defs: Encoder & Readonly<Record<Method, number>> = lib('defs.js')
export const bodyFrame: (channel: number, content: Buffer) => Buffer = lib('frame.js').makeBodyFrame

export interface ScriptedConnection {
  readonly model: ChannelModel
  readonly channels: readonly Channel[]
  /** What has happened, in order: messages, errors, and the end of channels and of the connection. */
  readonly events: unknown[]
  /** What was written to the broker since the set-up. */
  readonly written: () => Buffer
  /** In how many writes. */
  readonly writeCount: () => number
  /** Gives a chunk to amqplib, and waits until it was read. */
  receive (chunk: Buffer): Promise<void>
}

export const CONSUMER_TAG = 'amq.ctag-é'

/**
 * Opens a connection and some channels, each of which consumes.
 * @param install is given the connection before its channels are opened
 * @param onMessage is given each message, and may throw
 */
export async function openScripted (
  channelCount: number, install: (model: ChannelModel) => unknown, onMessage: (message: ConsumeMessage) => unknown, { keepsEvents = true } = {}
): Promise<ScriptedConnection> {
  let writes: Buffer[][] = []
  const wire = new Duplex({
    read () {},
    write (chunk: Buffer, _encoding, done) { writes.push([chunk]); done() },
    writev (chunks: Array<{ chunk: Buffer }>, done) { writes.push(chunks.map(({ chunk }) => chunk)); done() }
  })
  const connection = new (lib('connection.js').Connection)(wire)
  const events: unknown[] = []
  const opened = new Promise<void>((resolve, reject) => connection.open(
    { mechanism: 'PLAIN', response: Buffer.alloc(0), clientProperties: {}, locale: 'en_US', virtualHost: '/', frameMax: 4_096, maxFrameSize: 4_096, channelMax: 0, heartbeat: 0 },
    (error: Error | null) => { if (error === null) resolve(); else reject(error) }
  ))
  wire.push(defs.encodeMethod(defs.ConnectionStart, 0, { versionMajor: 0, versionMinor: 9, serverProperties: {}, mechanisms: Buffer.from('PLAIN'), locales: Buffer.from('en_US') }))
  wire.push(defs.encodeMethod(defs.ConnectionTune, 0, { channelMax: 0, frameMax: 4_096, heartbeat: 0 }))
  wire.push(defs.encodeMethod(defs.ConnectionOpenOk, 0, { knownHosts: '' }))
  await opened

  const model: ChannelModel = new (lib('channel_model.js').ChannelModel)(connection)
  for (const event of ['error', 'close'] as const) model.on(event, (error?: Error) => events.push([event, error?.message]))
  install(model)
  const channels = []
  for (let number = 1; number <= channelCount; number++) {
    const opening = model.createChannel()
    wire.push(defs.encodeMethod(defs.ChannelOpenOk, number, { channelId: Buffer.alloc(0) }))
    const channel = await opening
    for (const event of ['error', 'close', 'return'] as const) channel.on(event, (what?: unknown) => events.push([number, event, what instanceof Error ? what.message : what]))
    const consuming = channel.consume('queue', message => {
      if (keepsEvents) events.push([number, message && { fields: message.fields, properties: { ...message.properties }, content: message.content }])
      return message === null ? undefined : onMessage(message)
    })
    wire.push(defs.encodeMethod(defs.BasicConsumeOk, number, { consumerTag: CONSUMER_TAG }))
    await consuming
    channels.push(channel)
  }
  writes = []
  return {
    model,
    channels,
    events,
    written: () => Buffer.concat(writes.flat()),
    writeCount: () => writes.length,
    async receive (chunk) {
      const readable = once(wire, 'readable')
      wire.push(chunk)
      await readable
    }
  }
}
