import type { Envelope, Frame, FrameOf, Presence } from './frames.js'

/** Maximum announcements, and users in them, that wait for an earlier one. Beyond that, the peer is asked for all its users. */
const MAX_EARLY = 1_000
const MAX_EARLY_USERS = 500_000

/** Maximum receipts that wait for an announcement. Beyond that they are dropped, and relays are sent again. */
const MAX_DEFERRED = 100_000

/** What this instance knows of another one, from that one's announcements. */
export class Peer {
  readonly instance: string
  inbox: string
  term: number
  /** How many users it has. */
  userCount = 0
  /** Whether all its users of this term are known, as of announcement `applied`. */
  isComplete = false
  /** Whether it has ever told all its users. Those of a former term are kept until it has told those of the next one. */
  hasToldUsers = false
  /** The newest announcement that was applied: all before it were applied too. */
  applied = 0
  /** The newest announcement that any frame has mentioned. */
  newest = 0
  /**
   * Whether a frame to all has arrived in this term. Then the broker routes what it sends to all to our inbox. On a
   * cluster with Khepri, a new binding works on other nodes a little later than `bind-ok`.
   */
  isProven = false
  /** Whether it is closing: it takes nothing more, but still sends receipts. */
  hasLeft = false
  /** When a frame of it last arrived, and when it was last asked for its users. By the clock of the wire. */
  heardAt: number
  /** How many frames of it have arrived since the first one. */
  heard = 0
  askedAt = -Infinity
  /** The number of the newest question; 0 if an answer would be out of date. */
  question = 0
  /** The newest announcement that any frame had mentioned when it was asked. */
  newestWhenAsked = 0
  /** Since when an announcement is missing; undefined if none is. */
  gapSince: number | undefined
  /** Users in the announcements that begin the term, while some of these are missing. */
  beginning: Set<string> | undefined
  /** Users in the parts of a `state` that have arrived, while parts are missing. */
  gathered: Set<string> | undefined
  /** The announcement that the gathered parts belong to, and the part that comes next. */
  gatheredSeq = -1
  nextPart = 0
  #earlyUsers = 0
  #deferredCount = 0
  readonly #early = new Map<number, Presence>()
  #deferred: Array<FrameOf<'receipts'>> = []

  constructor ({ from, inbox, term }: Envelope, now: number) {
    this.instance = from
    this.inbox = inbox
    this.term = term
    this.heardAt = now
  }

  /** Whether everything that it has announced so far is known here. */
  get isSynced (): boolean {
    return this.hasLeft || (this.isComplete && this.isProven && this.applied >= this.newest)
  }

  /** Whether a frame answers the newest question. */
  isAnswer (frame: Frame): boolean {
    return frame.kind === 'state' && this.question !== 0 && frame.body.answers === this.question
  }

  /** It has a new inbox or a new publishing channel: its announcements begin anew. */
  begin (term: number, inbox: string): void {
    this.term = term
    this.inbox = inbox
    this.restart()
  }

  /** What it has announced may have been missed: it must tell all its users again. */
  restart (): void {
    this.isComplete = this.isProven = false
    this.applied = this.newest = 0
    this.askedAt = -Infinity
    this.question = this.#earlyUsers = this.#deferredCount = 0
    this.gapSince = this.beginning = this.gathered = undefined
    this.gatheredSeq = -1
    this.#early.clear()
    this.#deferred = []
  }

  /** Keeps an announcement until the ones before it have arrived. */
  keepEarly (seq: number, presence: Presence): void {
    const count = presence.here.length + presence.gone.length
    if (this.#early.has(seq) || this.#early.size >= MAX_EARLY || this.#earlyUsers + count > MAX_EARLY_USERS) return
    this.#early.set(seq, presence)
    this.#earlyUsers += count
  }

  /** Takes out the announcement that follows the applied one; undefined if it has not arrived. */
  takeNext (): Presence | undefined {
    const seq = this.applied + 1
    const next = this.#early.get(seq)
    this.#dropEarly(seq)
    return next
  }

  /** Drops the announcements that are applied. */
  dropApplied (): void {
    for (const seq of this.#early.keys()) if (seq <= this.applied) this.#dropEarly(seq)
  }

  #dropEarly (seq: number): void {
    const presence = this.#early.get(seq)
    if (presence === undefined) return
    this.#early.delete(seq)
    this.#earlyUsers -= presence.here.length + presence.gone.length
  }

  /**
   * Keeps receipts until the announcement that they mention is applied.
   * @returns false if they need not wait
   */
  defer (frame: FrameOf<'receipts'>): boolean {
    if (this.hasLeft || (this.isComplete && frame.seq <= this.applied && this.#deferred.length === 0)) return false
    if (this.#deferredCount + frame.body.length > MAX_DEFERRED) return true
    this.#deferred.push(frame)
    this.#deferredCount += frame.body.length
    return true
  }

  /** Takes out the receipts that need not wait any more. */
  takeDeferred (): Array<FrameOf<'receipts'>> {
    if (this.#deferred.length === 0 || !this.isComplete) return []
    const isReady = ({ seq }: FrameOf<'receipts'>) => this.hasLeft || seq <= this.applied
    const firstWaiting = this.#deferred.findIndex(frame => !isReady(frame))
    const ready = this.#deferred.splice(0, firstWaiting === -1 ? this.#deferred.length : firstWaiting)
    for (const { body } of ready) this.#deferredCount -= body.length
    return ready
  }
}
