import type { Peer } from './peer.js'

/**
 * The pause between two calls for peers, in milliseconds. On a cluster with Khepri, a new binding works on other nodes a
 * little later, so that the first call may not reach a peer that starts at the same time.
 */
const PAUSE = 100

/** How many times peers are called for. */
const CALLS = 2

/**
 * How long an instance with a new inbox listens before it says that nobody has a user, in milliseconds: two beats. A peer
 * that is too busy to answer a call is heard by then.
 */
const LISTENING = 1_000

/** How long an instance welcomes nobody after its first announcement was confirmed, in milliseconds, at least. */
export const WELCOME_DELAY = CALLS * PAUSE

export interface JoiningParts {
  now (): number
  /** How long to wait for a peer that does not say that it knows this instance's users, in milliseconds. */
  patience: number
  /** Asks all peers for their users. `called` is told whether the broker has put the call into the inbox of each. */
  hello (called: (isRouted: boolean) => void): void
}

/**
 * The beginning of a term: finds the peers, and waits until each of them knows the users of this instance. Before that
 * nobody is welcomed. Before all peers are known, nobody is said to be offline.
 */
export class Joining {
  readonly #parts: JoiningParts
  /** The peers that have not taken over the users of this term. */
  readonly #awaited = new Set<string>()
  #calls = 0
  #calledAt = -Infinity
  /** Whether the last call is in the inbox of each peer. */
  #isCallRouted = false
  /** Whether peers were called for, with a pause for their answers. */
  #hasCalled = false
  #terms = 0
  #begunAt = -Infinity
  #listeningSince = -Infinity

  constructor (parts: JoiningParts) {
    this.#parts = parts
  }

  /** Whether all peers are known. */
  get hasFoundPeers (): boolean {
    return this.#hasCalled && this.#parts.now() - this.#listeningSince >= LISTENING
  }

  /** Whether users may be welcomed. */
  get isOver (): boolean {
    return this.#hasCalled && (this.#awaited.size === 0 || this.#parts.now() - this.#begunAt >= this.#parts.patience)
  }

  /** A term begins. */
  begin (known: readonly Peer[], isNewInbox: boolean): void {
    this.#awaited.clear()
    for (const { instance } of known) this.#awaited.add(instance)
    this.#begunAt = this.#parts.now()
    if (isNewInbox) this.#listeningSince = this.#begunAt
    this.#calls = 0
    this.#calledAt = -Infinity
    this.#isCallRouted = this.#hasCalled = false
    this.#terms++
  }

  /** Another peer was found. */
  found (instance: string): void {
    if (!this.#hasCalled) this.#awaited.add(instance)
  }

  /** A peer knows the users of this term, or is gone. */
  delete (instance: string): void {
    this.#awaited.delete(instance)
  }

  /** Calls for peers when it is time. To be called from the confirm of the first announcement on. */
  tick (): void {
    const now = this.#parts.now()
    if (this.#hasCalled || now - this.#calledAt < PAUSE) return
    if (this.#calls < CALLS) {
      this.#calledAt = now
      this.#call()
    } else if (this.#isCallRouted) {
      // The call is in each inbox: a peer learns of this instance before it calls one of its users offline.
      this.#hasCalled = true
    }
  }

  #call (): void {
    const term = this.#terms
    const isLast = ++this.#calls === CALLS
    this.#parts.hello(isRouted => {
      if (term !== this.#terms) return
      if (!isRouted) this.#calls-- // is called again
      else if (isLast) this.#isCallRouted = true
    })
  }
}
