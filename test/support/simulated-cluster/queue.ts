import { groupEntry } from '../../../src/cluster/entries.js'
import type { Peer } from '../../../src/cluster/peer.js'
import type { Outcome } from '../../../src/delivery/doors.js'
import { Multicast, outcomeOf, type Audience, type Summary } from '../../../src/delivery/multicast.js'
import { composePayload } from '../../../src/delivery/notification.js'
import { MemoryMessage } from '../core.js'
import { checkOffline, checkReached } from './checks.js'
import { ANYBODY, FIRST_INSTANCES, GROUPS, USERS, type Member, type Message, type World } from './world.js'

/** The queue that the instances share. */
export class SimulatedQueue {
  readonly #world: World

  constructor (world: World) {
    this.#world = world
  }

  /** Somebody publishes a message. */
  publish (): void {
    const { messages, random } = this.#world
    const number = messages.length + 1
    const userId = random.oneOf(USERS)
    const [id, audience] = random.oneOf<() => [string, Audience]>([
      () => [`${userId}${number}`, { userIds: new Set([userId]) }],
      () => [`${userId}${number}`, { userIds: new Set([userId]) }],
      () => [`m${number}`, { userIds: new Set([userId, random.oneOf(USERS)]) }],
      () => [`m${number}`, { group: random.oneOf([...GROUPS, undefined]), except: new Set(random.between(0, 2) > 0 ? [] : [userId]) }]
    ])()
    messages.push({
      id,
      number,
      audience,
      origin: undefined,
      outcome: undefined,
      summary: undefined,
      deliveries: 0,
      takenFirst: 0,
      takenAt: 0,
      settledAt: Infinity,
      taker: undefined,
      takers: [],
      knownTo: new Map(),
      firstTab: undefined
    })
  }

  /** Who can take a message now. */
  taker (): Member | undefined {
    const taker = this.#anyTaker()
    return taker.isFrozen ? undefined : taker
  }

  /**
   * The single active consumer, or one of several consumers. A new instance finds its peers within a second. Here frames
   * may be slower than that, so only an instance that was there from the beginning takes messages.
   */
  #anyTaker (): Member {
    const alive = this.#world.alive()
    const first = alive.filter(({ number }) => number < FIRST_INSTANCES)
    return this.#world.options.takers === 'one' || first.length === 0 ? alive[0]! : this.#world.random.oneOf(first)
  }

  /** What can be taken next. */
  next (): Message | undefined {
    for (const message of this.#world.messages) if (message.origin === undefined && message.outcome === undefined) return message
    return undefined
  }

  /** An instance takes the next message. */
  take (member: Member): void {
    const message = this.next()!
    const origin = message.origin = new MemoryMessage(message.takenAt > 0)
    if (message.taker !== member) message.takenAt = this.#world.step
    message.deliveries++
    message.knownTo = peersOf(member, message.audience)
    message.taker = member
    message.takers.push(member)
    message.takenFirst ||= this.#world.step
    this.#world.tell(`${member.number} takes ${message.id}`)
    const result = this.#deliver(member, message, origin)
    if (result instanceof Promise) result.then(summary => this.#settle(message, origin, summary), () => {})
    else this.#settle(message, origin, result)
  }

  #settle (message: Message, origin: MemoryMessage, summary: Summary): void {
    if (message.origin !== origin || origin.gone.aborted) return
    message.outcome = outcomeOf(summary)
    message.summary = summary
    message.settledAt = this.#world.step
    this.#world.check(world => checkOffline(message, world))
    this.#world.check(world => checkReached(message, world))
  }

  #deliver ({ instance: { dispatcher }, fanOut }: Member, { id, audience }: Message, origin: MemoryMessage): Summary | Promise<Summary> {
    const payload = composePayload(id, id)
    if (!('userIds' in audience) || audience.userIds.size > 1) return fanOut.deliver(new Multicast(audience, payload), origin)
    const [userId] = audience.userIds as Set<string> & Iterable<string>
    const result = dispatcher.deliver({ userId: userId!, payload }, origin)
    return result instanceof Promise ? result.then(toSummary) : toSummary(result)
  }

  /** The channel of a taker is lost: the broker delivers again what is not settled. */
  loseChannel (): void {
    const member = this.#anyTaker()
    this.#world.tell(`${member.number} loses the channel of the queue`)
    this.redeliver(member)
  }

  /** The broker delivers again what an instance has not settled. */
  redeliver (taker: Member): void {
    for (const message of this.#world.messages) {
      if (message.taker !== taker || message.outcome !== undefined || message.origin === undefined) continue
      const { origin } = message
      message.origin = undefined
      origin.lose()
    }
  }
}

/** The instances that a taker knows to have the users of a message, or somebody of its group. */
function peersOf ({ core: { presence } }: Member, audience: Audience): Map<string, string[]> {
  const namesOf = (peers: readonly Peer[]): string[] => peers.map(({ instance }) => instance)
  if ('userIds' in audience) return new Map(Array.from(audience.userIds, userId => [userId, namesOf(presence.of(userId))]))
  return new Map([[ANYBODY, namesOf(audience.group === undefined ? presence.peers : presence.of(groupEntry(audience.group)))]])
}

function toSummary ({ outcome }: { outcome: Outcome }): Summary {
  return { users: 1, connections: 0, outcomes: { [outcome]: 1 } }
}
