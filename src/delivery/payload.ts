import { randomUUID } from 'node:crypto'
import { TextFrame } from '../websocket/frames.js'
import { encodeNotification } from '../websocket/protocol.js'

/** What a notification says, under its id: encoded once at most for each protocol, for however many sockets. */
export class Payload {
  private plainFrame: TextFrame | undefined
  private richFrame: TextFrame | undefined
  private redeliveredFrame: TextFrame | undefined

  /**
   * @param content a string, or any other JSON value
   * @param text the content as a plain WebSocket receives it: a string as it is, anything else as its JSON
   * @param ownId the id; where it has none, a fresh UUID, made when it is asked for
   */
  constructor (readonly content: unknown, readonly text: string, private ownId?: string) {}

  /** By which it can be found in logs and dead letters, and by which a client knows that it has seen it. */
  get id (): string {
    return (this.ownId ??= randomUUID())
  }

  /** The content as JSON. */
  get json (): string {
    return typeof this.content === 'string' ? JSON.stringify(this.content) : this.text
  }

  /** For a client that offered no subprotocol. */
  get plain (): TextFrame {
    return (this.plainFrame ??= new TextFrame(this.text))
  }

  /** For a client that speaks `notification.v1`, for the first time. */
  get rich (): TextFrame {
    return (this.richFrame ??= new TextFrame(encodeNotification(this, false)))
  }

  /** The same, where it may have been seen before. */
  get redelivered (): TextFrame {
    return (this.redeliveredFrame ??= new TextFrame(encodeNotification(this, true)))
  }
}
