import { encodeFrame, type FrameKind } from './frames.js'
import type { Peer } from './peer.js'
import { EVERYBODY, type Published, type Wire } from './wire.js'

type Done = (published: Published) => void

export interface FrameSenderParts {
  /** The id of this instance. */
  instance: string
  wire: Wire
  /** The number of the newest announcement. */
  seq (): number
  peerOf (instance: string): Peer | undefined
  /**
   * The broker knows no inbox of a peer.
   * @param heard how many frames of it had arrived when the frame was published that has come back
   */
  returned (peer: Peer, inbox: string, heard: number): void
}

/** Sends frames, each with the envelope of this instance. */
export class FrameSender {
  readonly #parts: FrameSenderParts
  #inbox = ''
  #term = 0
  #isOpen = false

  constructor (parts: FrameSenderParts) {
    this.#parts = parts
  }

  /** The number of the current term. */
  get term (): number {
    return this.#term
  }

  /** The current inbox, or the last one. */
  get inbox (): string {
    return this.#inbox
  }

  /** Whether peers can answer. */
  get isOpen (): boolean {
    return this.#isOpen
  }

  /** Begins a term. */
  begin (inbox: string): void {
    this.#inbox = inbox
    this.#term++
    this.#isOpen = true
  }

  /** Peers can't answer until the next term. */
  suspend (): void {
    this.#isOpen = false
  }

  encode (kind: FrameKind, body: string): string {
    const { instance, seq } = this.#parts
    return encodeFrame({ from: instance, inbox: this.#inbox, term: this.#term, seq: seq() }, kind, body)
  }

  toAll (kind: FrameKind, body: string, done?: Done): void {
    this.toInbox(EVERYBODY, kind, body, done)
  }

  /** Sends to one peer. Without such a peer, `done` gets `returned`. */
  to (instance: string, kind: FrameKind, body: string, done?: Done): void {
    const peer = this.#parts.peerOf(instance)
    if (peer === undefined) return done?.('returned')
    const { inbox, heard } = peer
    this.toInbox(inbox, kind, body, published => {
      done?.(published)
      if (published === 'returned') this.#parts.returned(peer, inbox, heard)
    })
  }

  toInbox (inbox: string, kind: FrameKind, body: string, done: Done = () => {}): void {
    // Before the first term a frame has no term and no inbox that peers could use. A peer that has asked will ask again.
    if (this.#term === 0) return done('unknown')
    this.#parts.wire.publish(inbox, this.encode(kind, body), done)
  }

  /**
   * Tells all that this instance is alive, and checks that its own inbox is bound: if somebody deletes the exchange and
   * creates it again, the bindings are lost, and the broker tells nobody.
   */
  beat (): void {
    this.toAll('beat', 'null', this.#lostIfReturned())
    this.mark(0)
  }

  /** Sends a marker to the own inbox. */
  mark (mark: number): void {
    this.toInbox(this.#inbox, 'mark', String(mark), this.#lostIfReturned())
  }

  /** The own inbox gets nothing any more: opens another one. */
  lost (): void {
    if (this.#isOpen) this.#parts.wire.reopen()
  }

  /** What is sent to all, or to this instance, reaches at least this instance. Otherwise its bindings are lost. */
  #lostIfReturned (): Done {
    const term = this.#term
    return published => { if (published === 'returned' && term === this.#term) this.lost() }
  }
}
