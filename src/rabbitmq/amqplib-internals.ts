import type { Socket } from 'node:net'
import type { ChannelModel, ConsumeMessage } from 'amqplib'

/** Members of amqplib's connection that its types leave out. */
export interface ConnectionInternals {
  readonly stream: Socket
  /** Writes the frames of all channels to the stream. */
  readonly muxer: { _readIncoming: () => void }
  /** The largest frame to accept, in bytes of its payload; 0 for any. */
  readonly maxFrameSize: number
  /** Whether anything has come since the last check of the heartbeat. */
  recvSinceLastCheck: boolean
  /** The received bytes that are not decoded yet. */
  rest: Buffer
  /** By the number of the channel. */
  readonly channels: ReadonlyArray<{ readonly channel: ChannelInternals } | null | undefined>
  /** Handles one frame. Another function when the connection closes. */
  readonly accept: unknown
  /** Decodes one frame; false if it is not complete. */
  recvFrame (): unknown
  /** Ours, set by a read gate: whether another message may be read. */
  mayRead?: (() => boolean) | undefined
}

/** Members of amqplib's channel that its types leave out. */
export interface ChannelInternals {
  /** Handles one frame. A property of its own only when the channel closes. */
  readonly accept: unknown
  /** Handles the next frame of a message. */
  readonly handleMessage: { readonly name: string }
  /** By consumer tag. */
  readonly consumers: ReadonlyMap<string, (message: ConsumeMessage) => unknown>
  closeWithError (id: undefined, reason: string, code: number, error: Error): void
}

/** What amqplib keeps to itself. Only this file and its importers know of it; see `docs/architecture.md`. */
export function internals (model: ChannelModel): ConnectionInternals {
  return model.connection as unknown as ConnectionInternals
}
