import { Announcer } from './announcer.js'
import type { FrameSender } from './frame-sender.js'
import type { Frame, KnownPeer } from './frames.js'
import { Joining, WELCOME_DELAY } from './joining.js'
import { Markers } from './markers.js'
import type { Peer } from './peer.js'
import { PeerTable, type PeerTableHooks } from './peer-table.js'
import type { Wire } from './wire.js'

/** How often an instance tells that it is alive, in milliseconds. */
const BEAT = 500

/** How long to wait before a new term begins because the broker has not taken an announcement, in milliseconds. */
const REOPEN = 500

export interface PresenceParts extends Pick<PeerTableHooks, 'instance' | 'arrived' | 'usersKnown' | 'receipts' | 'moved'> {
  wire: Wire
  frames: FrameSender
  /** How long a peer, or a marker, may take, in milliseconds. */
  patience: number
  /** Asks for calls of `flush` and `flushMarkers` at the end of this turn. */
  schedule (): void
  /** All peers know of a user. */
  announced (userId: string): void
  /** A marker has come back. */
  returned (milliseconds: number): void
  /** A new term is needed. */
  reopen (): void
}

/** Who is where: announces the users who are here, and keeps what the peers announce. */
export class Presence {
  readonly #parts: PresenceParts
  readonly #table: PeerTable
  readonly #announcer: Announcer
  readonly #markers: Markers
  readonly #joining: Joining
  #begunAt = 0
  #beatAt = -Infinity
  /** Whether a marker is requested that is to show that there are still no peers. */
  #isProving = false

  constructor (parts: PresenceParts) {
    this.#parts = parts
    const { wire, frames, patience, schedule, announced, returned } = parts
    const now = () => wire.now()
    const table = this.#table = new PeerTable({
      ...parts,
      now,
      found: ({ instance }) => this.#joining.found(instance),
      ask: ({ instance }, question) => frames.to(instance, 'hello', String(question)),
      synced: peer => this.#confirmSynced(peer),
      changed: () => this.#markers.check()
    })
    const joining = this.#joining = new Joining({ now, patience, hello: called => frames.toAll('hello', '0', published => called(published === 'routed')) })
    this.#announcer = new Announcer({
      publish: (presence, done) => frames.toAll('presence', presence, done),
      peers: () => this.#knownPeers(),
      mayWelcome: () => joining.isOver,
      schedule,
      later: (milliseconds, run) => wire.later(milliseconds, run),
      lost: () => frames.lost(),
      begun: () => joining.tick(),
      announced
    })
    this.#markers = new Markers({
      timeout: patience,
      now,
      publish: mark => frames.mark(mark),
      isSettled: () => joining.hasFoundPeers && table.isSynced,
      schedule,
      returned
    })
  }

  /** How many peers there are, how many users they have, and how many announcements this instance has published. */
  get counts (): { readonly peers: number, readonly users: number, readonly announcements: number } {
    return { peers: this.#table.peers.length, users: this.#table.userCount, announcements: this.#announcer.published }
  }

  /**
   * Whether no peer has welcomed anybody. What was in the inbox before the last marker is known. A peer that has announced
   * itself since then welcomes nobody yet. The next marker is requested early, so that whoever keeps asking waits for none.
   */
  isAlone (): boolean {
    if (!this.#table.isEmpty || !this.#joining.hasFoundPeers) return false
    const age = this.#parts.wire.now() - this.#markers.provenAt
    if (age >= WELCOME_DELAY / 2 && !this.#isProving) {
      this.#isProving = true
      this.#markers.after(() => { this.#isProving = false })
    }
    return age < WELCOME_DELAY
  }

  /** The number of the newest announcement. */
  get seq (): number {
    return this.#announcer.seq
  }

  /** The peers that are there. */
  get peers (): readonly Peer[] {
    return this.#table.peers
  }

  get (instance: string): Peer | undefined {
    return this.#table.get(instance)
  }

  /** The peers that have a user. */
  of (userId: string): readonly Peer[] {
    return this.#table.of(userId)
  }

  /**
   * Calls back when everything that was announced before this call is known here.
   * @returns forgets the callback
   */
  after (callback: () => void): () => void {
    return this.#markers.after(callback)
  }

  /** A user gets a connection. Resolves when all instances know of it; undefined if they do already. */
  opening (userId: string): Promise<void> | undefined {
    const announced = this.#announcer.add(userId)
    // During an alarm nothing can be announced. The connection gets what this instance takes.
    return this.#parts.wire.state === 'blocked' ? undefined : announced
  }

  /** Resolves when a user's connection that waits is announced, or has left; undefined if none waits. */
  pending (userId: string): Promise<void> | undefined {
    return this.#announcer.pending(userId)
  }

  /** A user has no connection left. */
  left (userId: string): void {
    this.#announcer.delete(userId)
  }

  /**
   * Begins a term.
   * @param isNewInbox whether announcements of peers may have been missed
   */
  begin (isNewInbox: boolean): void {
    this.#begunAt = this.#parts.wire.now()
    if (isNewInbox) this.#table.restart()
    this.#joining.begin(this.#table.peers, isNewInbox)
    this.#announcer.begin()
    for (const peer of this.#table.peers) if (peer.isSynced) this.#confirmSynced(peer)
    this.#table.tick()
    this.#markers.restart()
  }

  /** Nothing can be announced until the next term. */
  suspend (): void {
    this.#announcer.suspend()
  }

  /**
   * A frame of a peer has arrived.
   * @returns whether somebody else has to handle it
   */
  receive (frame: Frame): boolean {
    if (!this.#table.receive(frame)) return false
    switch (frame.kind) {
      case 'hello': this.#introduce(frame.from, frame.body); return false
      case 'synced': if (frame.body === this.#parts.frames.term) this.#confirmed(frame.from); return false
      case 'leave': this.#confirmed(frame.from); return false
      case 'presence': case 'beat': case 'state': case 'receipts': return false
      default: return true
    }
  }

  /** A marker has come back. */
  returned (mark: number): void {
    this.#markers.receive(mark)
  }

  /** Looks for what is due, while frames can be published. */
  tick (): void {
    const { wire, frames, reopen } = this.#parts
    const now = wire.now()
    if (!this.#announcer.isOpen && now - this.#begunAt >= REOPEN) reopen() // the broker has not taken an announcement
    if (this.#announcer.hasBegun) this.#joining.tick()
    this.#announcer.welcome()
    this.#table.tick()
    this.#markers.tick()
    if (now - this.#beatAt < BEAT) return
    this.#beatAt = now
    frames.beat()
  }

  /** The broker takes no publishes: lets those in who wait. */
  welcomeAll (): void {
    this.#announcer.welcomeAll()
  }

  /** The inbox of a peer is gone. */
  remove (peer: Peer): void {
    this.#table.remove(peer)
    this.#confirmed(peer.instance)
  }

  /**
   * Announces what has changed.
   * @param isUrgent whether it must not wait for the confirm of the announcement before
   */
  flush (isUrgent: boolean): void {
    this.#announcer.flush(isUrgent)
  }

  /** Publishes a marker for those who wait. */
  flushMarkers (): void {
    this.#markers.flush()
  }

  /** A peer asks who is here. What it gets from the next frame to all on proves that it gets frames to all. */
  #introduce (instance: string, question: number): void {
    const { frames } = this.#parts
    const parts = question === 0 ? [] : this.#announcer.parts()
    for (const [part, users] of parts.entries()) {
      const more = parts.length - part - 1
      frames.to(instance, 'state', JSON.stringify({ answers: question, users, part, more, peers: more === 0 ? this.#knownPeers() : undefined }))
    }
    frames.beat()
  }

  /** The peers that are there, for other instances. */
  #knownPeers (): KnownPeer[] {
    return this.#table.peers.map(({ instance, inbox, term }) => ({ instance, inbox, term }))
  }

  /** This instance knows all users of a peer's term. */
  #confirmSynced ({ instance, term }: Peer): void {
    this.#parts.frames.to(instance, 'synced', String(term))
  }

  /** A peer knows all users of this instance's term, or is gone. */
  #confirmed (instance: string): void {
    this.#joining.delete(instance)
    this.#announcer.welcome()
  }
}
