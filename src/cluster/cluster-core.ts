import { payloadFromJson } from '../delivery/notification.js'
import type { Payload } from '../delivery/payload.js'
import type { Peers } from '../delivery/peers.js'
import { Batches } from './batches.js'
import type { ClusterCoreParts } from './cluster-core-parts.js'
import { FrameSender } from './frame-sender.js'
import type { Broadcast, Frame, FrameKind, Receipt, SettledItem } from './frames.js'
import { IncomingRelays } from './incoming-relays.js'
import { Multicasts } from './multicasts.js'
import { OutgoingRelays } from './outgoing-relays.js'
import type { Peer } from './peer.js'
import { createPeers } from './peers.js'
import { Presence } from './presence.js'
import { Wakes } from './wakes.js'
import { EVERYBODY } from './wire.js'

/**
 * What instances tell each other, without input and output: frames come in through `receive`, and go out through the
 * wire. It keeps three promises. From its welcome on, a connection gets everything that any instance takes for its user.
 * Each connection gets a notification once. And a user's notifications reach a connection in order.
 */
export class ClusterCore {
  /** What the delivery needs of the peers. */
  readonly peers: Peers
  /** What a message for a group, or for everybody, needs of the peers. */
  readonly multicasts: Multicasts
  /** Who is where. */
  readonly presence: Presence
  readonly #parts: ClusterCoreParts
  readonly #frames: FrameSender
  readonly #outgoing: OutgoingRelays
  readonly #incoming: IncomingRelays
  readonly #receipts: Batches<Receipt>
  readonly #settled: Batches<SettledItem>
  readonly #wakes: Wakes
  #isFlushScheduled = false

  constructor (parts: ClusterCoreParts) {
    this.#parts = parts
    const { wire, listener, receiptTimeout, times } = parts
    const now = () => wire.now()
    let lastNumber = 0
    const number = () => ++lastNumber
    const schedule = () => this.#schedule()
    const frames = this.#frames = new FrameSender({
      instance: parts.instance,
      wire,
      seq: () => this.presence.seq,
      peerOf: instance => this.presence.get(instance),
      returned: (peer, inbox, heard) => this.#returned(peer, inbox, heard)
    })
    const presence = this.presence = new Presence({
      instance: parts.instance,
      wire,
      frames,
      patience: receiptTimeout,
      schedule,
      announced: userId => listener.wake(userId), // while peers did not know of the user, something may have been held
      returned: milliseconds => times?.marker(milliseconds),
      reopen: () => this.opened(frames.inbox),
      arrived: (userId, peer) => {
        this.#wakes.arrived(userId, peer)
        this.#outgoing.arrived(userId, peer)
      },
      receipts: ({ from, body }) => { for (const receipt of body) this.#outgoing.receipt(from, receipt) },
      usersKnown: () => this.multicasts.usersKnown(),
      moved: peer => { for (const part of [this.#outgoing, this.multicasts]) part.peerMoved(peer) }
    })
    this.#receipts = new Batches(schedule, (instance, json, done) => frames.to(instance, 'receipts', json, done))
    this.#settled = new Batches(schedule, (instance, json, done) => frames.to(instance, 'settled', json, done))
    const wakes = this.#wakes = new Wakes({
      schedule,
      afterMarker: callback => presence.after(callback),
      peersOf: userId => frames.isOpen ? presence.of(userId) : [], // else users may have come to other peers meanwhile
      publish: (to, json, done) => to === EVERYBODY ? frames.toAll('wake', json, done) : frames.to(to, 'wake', json, done)
    })
    const outgoing = this.#outgoing = new OutgoingRelays({
      ...parts,
      now,
      number,
      schedule,
      publish: (inbox, items, done) => frames.toInbox(inbox, 'relay', items, done),
      isAlone: () => presence.isAlone(),
      peersOf: userId => presence.of(userId),
      afterMarker: callback => presence.after(callback),
      returned: (peer, inbox, heard) => this.#returned(peer, inbox, heard),
      tell: (instance, item) => this.#settled.add(instance, item)
    })
    this.#incoming = new IncomingRelays({
      ...parts,
      now,
      pending: userId => presence.pending(userId),
      defer: run => wire.defer(run),
      isHere: userId => listener.isHere(userId),
      host: guest => listener.host(guest),
      reply: (instance, receipt) => this.#receipts.add(instance, receipt),
      settledElsewhere: (guest, outcome) => listener.peerSettled(guest, outcome, 0)
    })
    this.multicasts = new Multicasts({
      ...parts,
      now,
      number,
      schedule,
      frames,
      keepOrder: () => this.#flushInOrder(),
      isAlone: () => presence.isAlone(),
      peers: () => presence.peers,
      peersOf: entry => presence.of(entry),
      afterMarker: callback => presence.after(callback),
      stopAll: payloads => listener.stop(payloads)
    })
    this.peers = createPeers(presence, outgoing, wakes)
  }

  /**
   * Calls back with whether a peer has a connection of a user that was welcomed before this call.
   * @returns forgets the callback
   */
  isElsewhere (userId: string, answer: (isElsewhere: boolean) => void): () => void {
    const isKnown = () => this.presence.of(userId).length > 0
    if (!isKnown()) return this.presence.after(() => answer(isKnown()))
    answer(true)
    return () => {}
  }

  /**
   * Frames can be published and received: for the first time, or again after either was interrupted.
   * @param inbox the name of the inbox
   */
  opened (inbox: string): void {
    const isNewInbox = inbox !== this.#frames.inbox
    this.#frames.begin(inbox)
    this.presence.begin(isNewInbox)
    this.#outgoing.resume(isNewInbox)
    this.multicasts.resume(isNewInbox)
    this.#wakes.resume()
  }

  /** Nothing can be received until the next `opened`. */
  suspend (): void {
    this.#frames.suspend()
    this.presence.suspend()
  }

  /** A frame has arrived in the inbox. */
  receive (frame: Frame): void {
    const { instance, changeGroup, closeConnections, listener } = this.#parts
    if (frame.from === instance) {
      if (frame.kind === 'mark') this.presence.returned(frame.body)
      return
    }
    if (!this.presence.receive(frame)) return
    switch (frame.kind) {
      case 'relay': return frame.body.forEach(item => this.#incoming.receive(frame.from, item))
      case 'settled': return frame.body.forEach(([relay, outcome]) => this.#incoming.settled(frame.from, relay, outcome))
      case 'wake': return frame.body.forEach(userId => listener.wake(userId))
      case 'multicast': case 'counted': case 'stop': return this.multicasts.receive(frame)
      case 'membership': return changeGroup(frame.body)
      case 'disconnect': case 'signout': return closeConnections(frame.body.userId, frame.body)
      case 'broadcast': return this.#broadcast(frame.body)
    }
  }

  /** Looks for what is due. To be called ten times a second. */
  tick (): void {
    const { wire } = this.#parts
    if (wire.state === 'blocked') this.presence.welcomeAll()
    const isOpen = this.#frames.isOpen && wire.state === 'open'
    if (isOpen) this.presence.tick()
    if (wire.state === 'open') this.#wakes.resume()
    this.#outgoing.tick(isOpen)
    for (const part of [this.#incoming, this.multicasts]) part.tick()
    this.#schedule()
  }

  /** Tells all that the users of this instance are gone. */
  leave (): void {
    if (this.#frames.isOpen) this.#frames.toAll('leave', 'null')
    this.suspend()
  }

  /** Ends everything that waits for peers, after telling them what is to be told. */
  close (): void {
    this.#flush()
    for (const part of [this.#outgoing, this.#incoming, this.multicasts]) part.close()
  }

  /** Encodes a frame of this instance. */
  encode (kind: FrameKind, body: string): string {
    return this.#frames.encode(kind, body)
  }

  #broadcast ({ id, json, except = [] }: Broadcast): void {
    const { broadcast, malformed } = this.#parts
    let payload: Payload
    try {
      payload = payloadFromJson(id, json)
    } catch {
      return malformed()
    }
    broadcast(payload, except)
  }

  #schedule (): void {
    if (this.#isFlushScheduled) return
    this.#isFlushScheduled = true
    this.#parts.wire.defer(() => this.#flush())
  }

  /** Publishes everything that this turn has for the peers. */
  #flush (): void {
    this.#isFlushScheduled = false
    const { state } = this.#parts.wire
    if (state === 'blocked') this.#wakes.release()
    if (state !== 'open') return
    // A receipt `nobody` comes after the announcement that its user is gone.
    this.presence.flush(this.#receipts.some(([, state]) => state === 'nobody'))
    this.#wakes.flush() // before the receipt `held`: with it a peer settles its message
    this.#receipts.flush()
    this.#settled.flush()
    this.multicasts.flushReceipts()
    if (!this.#frames.isOpen) return // what follows needs answers
    this.#flushInOrder()
    this.presence.flushMarkers()
  }

  /**
   * Publishes the relays and the multicasts that wait, in the order in which they were taken, behind the news that something
   * older is held.
   */
  #flushInOrder (): void {
    if (this.#parts.wire.state !== 'open' || !this.#frames.isOpen) return
    this.#wakes.flush()
    this.multicasts.flush(number => this.#outgoing.flush(number))
    this.#outgoing.flush()
  }

  /** An inbox is gone, unless its peer has been heard since then: on a cluster with Khepri, a new one is known a little later. */
  #returned (peer: Peer, inbox: string, heard: number): void {
    if (peer.inbox !== inbox || peer.heard !== heard) return // it has another inbox by now, or will be asked again
    this.presence.remove(peer)
    for (const part of [this.#outgoing, this.multicasts]) part.peerGone(peer)
  }
}
