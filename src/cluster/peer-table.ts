import { MAX_PARTS, MAX_PEERS, type Frame, type FrameKind, type FrameOf, type KnownPeer, type Presence } from './frames.js'
import { KnownUsers } from './known-users.js'
import { Peer } from './peer.js'

/** How long an announcement may be missing before its peer is asked for all its users; and how long between two asks. */
const GAP_TIMEOUT = 1_000

/** How long a peer may be silent before it is asked whether it is there, in milliseconds: four beats. */
const SILENCE = 2_000

/**
 * What holds whichever term it is from: nothing of it is sent again when another term begins. After an alarm, the first
 * announcement of the next term may overtake it.
 */
const TIMELESS: ReadonlySet<FrameKind> = new Set(['settled', 'wake', 'multicast', 'stop', 'counted', 'membership', 'disconnect', 'signout', 'broadcast'])

export interface PeerTableHooks {
  /** The id of this instance. */
  readonly instance: string
  now (): number
  /** A peer is there that was not known. */
  found (peer: Peer): void
  /** Asks a peer for all its users. The question has a number. */
  ask (peer: Peer, question: number): void
  /** A peer has a user now. */
  arrived (userId: string, peer: Peer): void
  /** All users are known that a peer has told of in this term, after `arrived` for each. */
  usersKnown (): void
  /** The receipts of a peer have their turn. */
  receipts (frame: FrameOf<'receipts'>): void
  /** All users of a peer's term are known. */
  synced (peer: Peer): void
  /** A peer has another inbox: what was in the old one is lost. */
  moved (peer: Peer): void
  /** Something has changed on which the answer "nobody has this user" may depend. */
  changed (): void
}

/** Which peers there are, and which of them have a user. */
export class PeerTable {
  readonly #hooks: PeerTableHooks
  readonly #peers = new Map<string, Peer>()
  readonly #users = new KnownUsers()
  #lastQuestion = 0

  constructor (hooks: PeerTableHooks) {
    this.#hooks = hooks
  }

  /** The peers that have a user. */
  of (userId: string): readonly Peer[] {
    return this.#users.of(userId)
  }

  /** How many users peers have. */
  get userCount (): number {
    return this.#users.count
  }

  get isEmpty (): boolean {
    return this.#peers.size === 0
  }

  /** The peers that are there, without those that are closing. */
  get peers (): Peer[] {
    return [...this.#peers.values()].filter(({ hasLeft }) => !hasLeft)
  }

  /** Whether everything that the known peers have announced is known here. */
  get isSynced (): boolean {
    for (const peer of this.#peers.values()) if (!peer.isSynced) return false
    return true
  }

  get (instance: string): Peer | undefined {
    return this.#peers.get(instance)
  }

  /**
   * Takes note of a frame's sender, and of what it says about its users.
   * @returns false if the frame must be ignored, because it is of a former term
   */
  receive (frame: Frame): boolean {
    const peer = this.#peerOf(frame)
    if (peer === undefined || peer.hasLeft) {
      if (frame.kind === 'receipts') this.#hooks.receipts(frame) // of what it took before
      return true
    }
    // Who answers a question was asked in this term or an earlier one. A later term that we know of was never theirs.
    if (frame.term < peer.term && !peer.isAnswer(frame)) return TIMELESS.has(frame.kind)
    if (frame.term !== peer.term) this.#begin(peer, frame)
    peer.heardAt = this.#hooks.now()
    if (frame.kind !== 'state') peer.newest = Math.max(peer.newest, frame.seq)
    switch (frame.kind) {
      case 'presence':
        peer.isProven = true
        if (frame.seq > peer.applied) peer.keepEarly(frame.seq, frame.body)
        break
      case 'beat':
        peer.isProven = true
        break
      case 'state':
        this.#gather(peer, frame)
        break
      case 'leave':
        this.#leave(peer)
        break
      case 'receipts':
        if (!peer.defer(frame)) this.#hooks.receipts(frame)
    }
    this.#apply(peer)
    return true
  }

  /** Asks the peers whose announcements are missing, and those that have been silent. To be called ten times a second. */
  tick (): void {
    const now = this.#hooks.now()
    for (const peer of this.#peers.values()) {
      const isOverdue = !peer.isSynced && (!peer.isComplete || now - (peer.gapSince ?? now) >= GAP_TIMEOUT)
      if ((isOverdue || now - peer.heardAt >= SILENCE) && now - peer.askedAt >= GAP_TIMEOUT) this.#ask(peer)
    }
  }

  /** The own inbox is a new one: what peers have announced meanwhile was missed. */
  restart (): void {
    for (const peer of this.#peers.values()) peer.restart()
  }

  /** The inbox of a peer is gone, and its users with it. */
  remove (peer: Peer): void {
    if (this.#peers.get(peer.instance) !== peer) return
    this.#peers.delete(peer.instance)
    this.#replace(peer, new Set())
    this.#hooks.changed()
  }

  /** Only who announces itself is a peer. What an ended one still sends makes no peer of it. */
  #peerOf (frame: Frame): Peer | undefined {
    const known = this.#peers.get(frame.from)
    if (known !== undefined) known.heard++
    if (known !== undefined || this.#peers.size >= MAX_PEERS || !['presence', 'beat', 'hello', 'state'].includes(frame.kind)) return known
    const peer = new Peer(frame, this.#hooks.now())
    this.#peers.set(frame.from, peer)
    this.#hooks.found(peer)
    if (!(frame.kind === 'presence' && frame.seq === 1)) this.#ask(peer)
    return peer
  }

  #begin (peer: Peer, frame: Frame): void {
    const hasMoved = frame.inbox !== peer.inbox
    peer.begin(frame.term, frame.inbox)
    if (hasMoved) this.#hooks.moved(peer)
    if (!(frame.kind === 'presence' && frame.seq === 1)) this.#ask(peer)
  }

  #ask (peer: Peer): void {
    peer.askedAt = this.#hooks.now()
    peer.question = ++this.#lastQuestion
    peer.newestWhenAsked = peer.newest
    this.#hooks.ask(peer, peer.question)
  }

  /** Applies what follows without a gap, then lets the receipts go on that waited for it. */
  #apply (peer: Peer): void {
    const { applied, isSynced } = peer
    for (let next = peer.takeNext(); next !== undefined; next = peer.takeNext()) {
      peer.applied++
      this.#applyNext(peer, next)
    }
    peer.gapSince = peer.applied < peer.newest ? peer.gapSince ?? this.#hooks.now() : undefined
    if (peer.applied > applied || peer.isComplete) for (const frame of peer.takeDeferred()) this.#hooks.receipts(frame)
    if (peer.isSynced && !isSynced) this.#hooks.synced(peer)
    if (peer.isSynced) this.#hooks.changed()
  }

  #applyNext (peer: Peer, { here, gone, more, peers }: Presence): void {
    if (more === undefined) {
      for (const userId of gone) this.#users.delete(userId, peer)
      for (const userId of here) this.#add(userId, peer)
      return
    }
    if (peer.applied + more > MAX_PARTS) return // forged
    const users = peer.beginning ??= new Set()
    for (const userId of here) users.add(userId)
    if (more > 0) return
    peer.beginning = undefined
    this.#complete(peer, users, peers)
  }

  #gather (peer: Peer, frame: FrameOf<'state'>): void {
    if (!peer.isAnswer(frame)) return // a later question is on its way
    const { seq, body: { users, part, more, peers } } = frame
    if (part === 0) {
      peer.gathered = new Set()
      peer.gatheredSeq = seq
      peer.nextPart = 0
    }
    // Otherwise its first part was lost with the last inbox.
    if (peer.gatheredSeq !== seq || peer.gathered === undefined || part !== peer.nextPart) return
    peer.nextPart++
    for (const userId of users) peer.gathered.add(userId)
    if (more > 0) return
    const { gathered } = peer
    peer.gathered = undefined
    // Any announcement that was mentioned before the question was asked is part of the answer. Else it was never made.
    if (peer.newest <= peer.newestWhenAsked) peer.newest = Math.max(peer.applied, seq)
    if (peer.isComplete && seq < peer.applied) return // older than what is known
    peer.applied = seq
    peer.newest = Math.max(peer.newest, seq)
    peer.dropApplied()
    this.#complete(peer, gathered, peers)
  }

  #complete (peer: Peer, users: ReadonlySet<string>, others: readonly KnownPeer[] | undefined): void {
    peer.isComplete = peer.hasToldUsers = true
    this.#replace(peer, users)
    this.#meet(others)
    this.#hooks.usersKnown()
  }

  /** Asks the peers that another one knows, and that may have announced themselves while this instance had no inbox. */
  #meet (others: readonly KnownPeer[] = []): void {
    for (const { instance, inbox, term } of others) {
      if (instance === this.#hooks.instance || this.#peers.has(instance) || this.#peers.size >= MAX_PEERS) continue
      const peer = new Peer({ from: instance, inbox, term, seq: 0 }, this.#hooks.now())
      this.#peers.set(instance, peer)
      this.#ask(peer)
    }
  }

  #leave (peer: Peer): void {
    peer.hasLeft = true
    this.#replace(peer, new Set())
    this.#hooks.changed()
  }

  /** A peer has these users and no others. */
  #replace (peer: Peer, users: ReadonlySet<string>): void {
    this.#users.keepOnly(users, peer)
    for (const userId of users) this.#add(userId, peer)
  }

  #add (userId: string, peer: Peer): void {
    if (this.#users.add(userId, peer)) this.#hooks.arrived(userId, peer)
  }
}
