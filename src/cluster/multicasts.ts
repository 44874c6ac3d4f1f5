import type { Connected } from '../delivery/multicast.js'
import type { Origin } from '../delivery/doors.js'
import type { Payload } from '../delivery/payload.js'
import type { MulticastElsewhere, MulticastPeers } from '../delivery/peers.js'
import type { Waiting } from '../delivery/waiting.js'
import { Batches } from './batches.js'
import type { FrameSender } from './frame-sender.js'
import type { Counted, FrameOf, StopItem } from './frames.js'
import { IncomingMulticasts, type IncomingMulticastsParts } from './incoming-multicasts.js'
import { OutgoingMulticasts, type OutgoingMulticastsParts } from './outgoing-multicasts.js'
import type { Peer } from './peer.js'

export interface MulticastsParts extends Omit<OutgoingMulticastsParts, 'publish' | 'stop'>, Omit<IncomingMulticastsParts, 'reply'> {
  frames: FrameSender
}

/** Messages for a group, or for everybody: those that peers are asked to deliver, and those that peers ask for. */
export class Multicasts implements MulticastPeers {
  readonly #outgoing: OutgoingMulticasts
  readonly #incoming: IncomingMulticasts
  readonly #counted: Batches<Counted>
  readonly #stops: Batches<StopItem>

  constructor (parts: MulticastsParts) {
    const { frames, schedule } = parts
    const counted = this.#counted = new Batches<Counted>(schedule, (instance, json, done) => frames.to(instance, 'counted', json, done))
    const stops = this.#stops = new Batches<StopItem>(schedule, (instance, json, done) => frames.to(instance, 'stop', json, done))
    this.#outgoing = new OutgoingMulticasts({
      ...parts,
      publish: (instance, json, done) => frames.to(instance, 'multicast', json, done),
      stop: (instance, stop) => stops.add(instance, stop)
    })
    this.#incoming = new IncomingMulticasts({ ...parts, reply: (instance, receipt) => counted.add(instance, receipt) })
  }

  deliver (audience: Connected, payload: Payload, origin: Origin): MulticastElsewhere | undefined {
    return this.#outgoing.deliver(audience, payload, origin)
  }

  waiting (): Iterable<Waiting> {
    return this.#outgoing.waiting()
  }

  /** A frame of a peer has arrived. */
  receive (frame: FrameOf<'multicast'> | FrameOf<'counted'> | FrameOf<'stop'>): void {
    const { from } = frame
    if (frame.kind === 'stop') return this.#incoming.stop(from, frame.body.map(([relay]) => relay))
    if (frame.kind === 'multicast') for (const item of frame.body) this.#incoming.receive(from, item)
    else for (const counted of frame.body) this.#outgoing.receive(from, counted)
  }

  /** The inbox of a peer is gone. */
  peerGone (peer: Peer): void {
    this.#outgoing.peerGone(peer)
  }

  /** All users of a peer are known now. */
  usersKnown (): void {
    this.#outgoing.usersKnown()
  }

  /** A peer has another inbox. */
  peerMoved (peer: Peer): void {
    this.#outgoing.peerMoved(peer)
  }

  /**
   * Frames can be published again.
   * @param isNewInbox whether receipts may have been lost
   */
  resume (isNewInbox: boolean): void {
    this.#outgoing.resume(isNewInbox)
  }

  /** Publishes the receipts of this turn. */
  flushReceipts (): void {
    this.#counted.flush()
  }

  /**
   * Publishes what this turn has for the peers.
   * @param publishOlder publishes what was taken before a multicast, by its number, and waits too
   */
  flush (publishOlder: (number: number) => void): void {
    this.#outgoing.flush(publishOlder)
    this.#stops.flush()
  }

  /** Looks for what is due. To be called ten times a second. */
  tick (): void {
    this.#outgoing.tick()
    this.#incoming.tick()
  }

  /** Ends everything that waits for peers. */
  close (): void {
    this.#outgoing.close()
  }
}
