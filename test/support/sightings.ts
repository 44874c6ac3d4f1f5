/** The first time that a user's handler was given a notification. */
export interface Sighting {
  readonly user: number
  readonly number: number
  /** In milliseconds since 1970. */
  readonly at: number
  /** Whether the server said that it may have been seen before. */
  readonly redelivered: boolean
  /** Whether a later one of the same user had been seen by then. */
  readonly isLate: boolean
}

/** A time in which what was on its way may have been lost, to be delivered again, in milliseconds since 1970. */
export interface Outage { readonly from: number, readonly to: number }

/** How much later than a client the server may notice that a connection has ended, in milliseconds. */
const SLACK = 1_000

/** What one client of a user has handled: another one, after a reload, knows nothing of it. */
export class Handled {
  readonly done = new Set<number>()
  readonly underWay = new Set<number>()
}

/** Keeps count of what the users' handlers are given, of the numbers 0, 1, 2, … */
export class Sightings {
  readonly #first = new Map<number, Sighting>()
  readonly #done = new Set<number>()
  readonly #highest: number[]
  readonly #arrived: Array<Set<number>>
  readonly #outages: Outage[][]
  /** Given to somebody they were not for. */
  readonly strays: string[] = []
  /** Given again to a client that had handled them or was at it. */
  readonly twice: string[] = []
  /** Sent to a user again without a word of it. */
  readonly unmarked: number[] = []
  /** Handler calls that were not the first. */
  again = 0
  /** Texts that said that they may have been seen before. */
  redelivered = 0

  /** @param userOf for whom each number is */
  constructor (users: number, private readonly userOf: readonly number[]) {
    this.#highest = Array(users).fill(-1)
    this.#arrived = Array.from({ length: users }, () => new Set())
    this.#outages = Array.from({ length: users }, () => [])
  }

  /** A notification has arrived at a user's socket. */
  arrived (user: number, number: number, redelivered: boolean): void {
    if (redelivered) this.redelivered++
    else if (this.#arrived[user]!.has(number)) this.unmarked.push(number)
    this.#arrived[user]!.add(number)
  }

  /** A user's handler is called. */
  begin (user: number, number: number, redelivered: boolean, { done, underWay }: Handled): void {
    if (this.userOf[number] !== user) this.strays.push(`${number} at user ${user}`)
    if (done.has(number) || underWay.has(number)) this.twice.push(`${number} at user ${user}`)
    underWay.add(number)
    if (this.#first.has(number)) {
      this.again++
      return
    }
    const isLate = number < this.#highest[user]!
    this.#first.set(number, { user, number, at: Date.now(), redelivered, isLate })
    if (!isLate) this.#highest[user] = number
  }

  /** It has returned. */
  end (number: number, { done, underWay }: Handled, isHandled: boolean): void {
    underWay.delete(number)
    if (!isHandled) return
    done.add(number)
    this.#done.add(number)
  }

  /** A connection of a user has ended. */
  disconnected (user: number, outage: Outage): void {
    this.#outages[user]!.push(outage)
  }

  /** When connections of a user ended. */
  disconnections (user: number): readonly Outage[] {
    return this.#outages[user]!
  }

  /** Those that no handler has finished with. */
  missing (count: number): number[] {
    return Array.from({ length: count }, (_, number) => number).filter(number => !this.#done.has(number))
  }

  /** The first sightings. */
  all (): Sighting[] {
    return [...this.#first.values()]
  }

  /** Whether a connection of its user ended between the publishing of a notification and its first sighting. */
  wasDisconnected ({ user, at }: Sighting, publishedAt: number): boolean {
    return this.#outages[user]!.some(({ from, to }) => publishedAt <= to + SLACK && at >= from)
  }
}
