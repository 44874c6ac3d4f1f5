import { inParts } from '../lists.js'
import { MAX_USERS, type KnownPeer, type Presence } from './frames.js'
import { Waits } from './waits.js'
import type { Published, Wire } from './wire.js'

/** Milliseconds from a confirm to the next announcement. Where many users connect at once, this saves a third of their processor time. */
const GATHERING = 4

export interface AnnouncerParts extends Pick<Wire, 'later'> {
  /** Publishes an announcement. Its number is `seq`. */
  publish (presence: string, done: (published: Published) => void): void
  /** The peers that are known. */
  peers (): KnownPeer[]
  /** Whether users may be welcomed whose announcement is confirmed. */
  mayWelcome (): boolean
  /** Asks for a call of `flush` at the end of this turn. */
  schedule (): void
  /** The own inbox gets nothing any more. */
  lost (): void
  /** The first announcement of a term is in every inbox. */
  begun (): void
  /** Peers know of a user. */
  announced (userId: string): void
}

/**
 * - `new`: is not announced yet
 * - `announced`: the broker has not confirmed it
 * - `here`: all peers know of it
 * - `gone`: has left, and that is not announced yet
 * - `gone-early`: the same, and the broker has not confirmed yet that it was here
 */
type State = 'new' | 'announced' | 'here' | 'gone' | 'gone-early'

const isGone = (state: State | undefined) => state === 'gone' || state === 'gone-early'

/**
 * Announces to the peers which users are here. When the broker has confirmed an announcement, it is in every inbox: then
 * the connection is welcomed. One announcement is unconfirmed at a time. What changes meanwhile, and in a short pause after
 * it, goes into the next one.
 */
export class Announcer {
  readonly #parts: AnnouncerParts
  readonly #users = new Map<string, State>()
  /** Users whose state is to be announced next. */
  #changed = new Set<string>()
  /** The number of the unconfirmed announcement that says that a user is here. */
  readonly #announcedBy = new Map<string, number>()
  /** Those who wait until a user is announced, or gone. */
  readonly #waiting = new Waits()
  /** Users whose announcement is confirmed, while nobody may be welcomed. */
  #unwelcome = new Set<string>()
  /** The number of the newest announcement of this term. */
  #seq = 0
  /** How many announcements are unconfirmed, and which term they belong to. */
  #unconfirmed = 0
  #term = 0
  /** Whether the next announcement waits for more users. */
  #isPausing = false
  #isOpen = false
  /** Whether the announcements that begin the term are confirmed. */
  #hasBegun = false
  #published = 0

  constructor (parts: AnnouncerParts) {
    this.#parts = parts
  }

  get seq (): number {
    return this.#seq
  }

  /** How many announcements were published, in all terms. */
  get published (): number {
    return this.#published
  }

  /**
   * The users as of the newest announcement, in parts for frames. There is at least one part. Later announcements tell
   * only what changes: so whoever has left is among them until that is announced, and whoever is not announced yet is not.
   */
  parts (): string[][] {
    return inParts([...this.#users].filter(([, state]) => state !== 'new').map(([userId]) => userId), MAX_USERS)
  }

  /**
   * A user gets a connection.
   * @returns undefined if peers know of the user; otherwise resolves when they do
   */
  add (userId: string): Promise<void> | undefined {
    const state = this.#users.get(userId)
    if (isGone(state)) {
      // Peers have not been told that the user had left.
      this.#changed.delete(userId)
      this.#users.set(userId, state === 'gone' ? 'here' : 'announced')
    }
    if (state === 'gone' || (state === 'here' && !this.#waiting.has(userId))) {
      if (this.#parts.mayWelcome()) return undefined
      this.#unwelcome.add(userId)
    }
    if (state === undefined) {
      this.#users.set(userId, 'new')
      this.#change(userId)
    }
    return this.#waiting.add(userId)
  }

  /** A user has no connection left. */
  delete (userId: string): void {
    const state = this.#users.get(userId)
    if (state === undefined || isGone(state)) return
    this.#unwelcome.delete(userId)
    if (state === 'new') {
      this.#changed.delete(userId)
      this.#users.delete(userId)
    } else {
      this.#users.set(userId, state === 'here' ? 'gone' : 'gone-early')
      this.#change(userId)
    }
    this.#waiting.end(userId)
  }

  /** Resolves when a user is announced whose connection waits for that; undefined if none waits. */
  pending (userId: string): Promise<void> | undefined {
    return this.#waiting.has(userId) ? this.#waiting.add(userId) : undefined
  }

  /** Begins a term: announces all users anew. */
  begin (): void {
    this.#isOpen = true
    this.#hasBegun = false
    this.#term++
    this.#seq = this.#unconfirmed = 0
    this.#changed.clear()
    this.#unwelcome.clear()
    this.#announcedBy.clear()
    for (const [userId, state] of this.#users) {
      if (isGone(state)) this.#users.delete(userId)
      else this.#users.set(userId, 'announced')
    }
    const parts = this.parts()
    let more = parts.length
    for (const here of parts) this.#publish(--more > 0 ? { here, gone: [], more } : { here, gone: [], more, peers: this.#parts.peers() })
  }

  /** Whether changes are announced. */
  get isOpen (): boolean {
    return this.#isOpen
  }

  /** Whether the announcements that begin the term are in every inbox. */
  get hasBegun (): boolean {
    return this.#hasBegun
  }

  /** Nothing can be announced until the next term. */
  suspend (): void {
    this.#isOpen = false
  }

  /**
   * Announces what has changed.
   * @param isUrgent whether it must not wait for the confirm of the announcement before
   */
  flush (isUrgent = false): void {
    if (!this.#isOpen || this.#changed.size === 0 || ((this.#unconfirmed > 0 || this.#isPausing) && !isUrgent)) return
    const here: string[] = []
    const gone: string[] = []
    for (const userId of this.#changed) {
      if (here.length + gone.length === MAX_USERS) break
      this.#changed.delete(userId)
      if (isGone(this.#users.get(userId))) {
        this.#users.delete(userId)
        this.#announcedBy.delete(userId)
        gone.push(userId)
      } else {
        this.#users.set(userId, 'announced')
        here.push(userId)
      }
    }
    this.#publish({ here, gone })
    if (this.#changed.size > 0 && isUrgent) this.flush(true)
  }

  /** Users may be welcomed now. */
  welcome (): void {
    if (!this.#parts.mayWelcome()) return
    const users = this.#unwelcome
    this.#unwelcome = new Set()
    for (const userId of users) this.#waiting.end(userId)
  }

  /** Lets everybody in who waits, though peers don't know of them yet: the broker takes no announcements for now. */
  welcomeAll (): void {
    this.#waiting.endAll()
  }

  #change (userId: string): void {
    this.#changed.add(userId)
    this.#parts.schedule()
  }

  #publish (presence: Presence): void {
    const term = this.#term
    const seq = ++this.#seq
    for (const userId of presence.here) this.#announcedBy.set(userId, seq)
    this.#unconfirmed++
    this.#published++
    this.#parts.publish(JSON.stringify(presence), published => {
      if (term !== this.#term || !this.#isOpen) return
      if (published !== 'routed') {
        this.suspend() // until the next term
        if (published === 'returned') this.#parts.lost() // the key of everybody reaches at least the own inbox
        return
      }
      if (--this.#unconfirmed === 0 && !this.#hasBegun) {
        this.#hasBegun = true
        this.#parts.begun()
      }
      this.#confirmed(seq, presence.here)
      this.#pause()
    })
  }

  #confirmed (seq: number, userIds: readonly string[]): void {
    const mayWelcome = this.#parts.mayWelcome()
    for (const userId of userIds) {
      if (this.#announcedBy.get(userId) !== seq) continue // the user has left, and maybe come back, since then
      this.#announcedBy.delete(userId)
      const state = this.#users.get(userId)
      if (state === 'gone-early') this.#users.set(userId, 'gone')
      if (state !== 'announced') continue
      this.#users.set(userId, 'here')
      this.#parts.announced(userId)
      if (mayWelcome) this.#waiting.end(userId)
      else if (this.#waiting.has(userId)) this.#unwelcome.add(userId)
    }
  }

  #pause (): void {
    this.#isPausing = true
    this.#parts.later(GATHERING, () => {
      this.#isPausing = false
      if (this.#changed.size > 0) this.#parts.schedule()
    })
  }
}
