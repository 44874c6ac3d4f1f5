// Several instances with the real delivery and the real cluster core, on a simulated broker. A random schedule decides
// what happens when: users come and go, and join and leave groups; channels and inboxes are lost; instances freeze, end,
// leave and join.
import { ClusterCore } from '../../src/cluster/cluster-core.js'
import { groupEntry } from '../../src/cluster/entries.js'
import { decodeFrame, type Membership } from '../../src/cluster/frames.js'
import { EVERYBODY } from '../../src/cluster/wire.js'
import type { Outcome } from '../../src/delivery/doors.js'
import { FanOut } from '../../src/delivery/fan-out.js'
import { Groups } from '../../src/delivery/groups.js'
import { Multicast, outcomeOf, type Audience, type Connected, type Summary } from '../../src/delivery/multicast.js'
import { composePayload } from '../../src/delivery/notification.js'
import type { Payload } from '../../src/delivery/payload.js'
import type { Registry } from '../../src/delivery/registry.js'
import { Admission } from '../../src/websocket/admission.js'
import type { Connection } from '../../src/websocket/connection.js'
import { Memberships } from '../../src/websocket/memberships.js'
import { MemoryMessage, MemorySubscriber, startInstance, type MemoryInstance } from './core.js'
import { generator, type Random } from './random.js'
import { SimulatedBroker, type Inbox } from './simulated-broker.js'

const USERS = ['a', 'b', 'c']
/** One has the name of a user. */
const GROUPS = ['a', 'g']
const MAX_INSTANCES = 5

/** How much arrives in a turn of the event loops while nothing else happens. */
const MOVES_PER_TURN = 4

/** How many instances start together. */
const FIRST_INSTANCES = 3

/** A message of the queue, which one instance takes at a time. */
interface Message {
  readonly id: string
  readonly number: number
  readonly audience: Audience
  origin: MemoryMessage | undefined
  outcome: ReturnType<typeof outcomeOf> | undefined
  /** When it was taken first and last, in steps; 0 before. */
  takenFirst: number
  takenAt: number
  /** Who has taken it last. If that one gets it again, it goes on with the delivery that it has. */
  taker: Member | undefined
}

/** A connection, and what may be expected for it. */
interface Tab {
  readonly subscriber: MemorySubscriber
  readonly member: Member
  /** By the name of the group that it is in. */
  readonly groups: Map<string, { /** When its instance has announced the group, in steps; Infinity before. */ since: number }>
  /** When it was welcomed, in steps; Infinity before. */
  welcomedAt: number
  isOpen: boolean
  /** When its instance was last without an inbox or a channel. In steps; Infinity while it is. */
  troubledAt: number
}

interface Member {
  readonly number: number
  readonly instance: MemoryInstance
  readonly core: ClusterCore
  readonly fanOut: FanOut
  readonly admission: Admission
  inbox: Inbox | undefined
  readonly deferred: Array<() => void>
  isFrozen: boolean
  isGone: boolean
}

export interface SimulationOptions {
  /** How many random steps. */
  steps: number
  settle: 'sent' | 'acknowledged'
  /** Whether one instance takes all messages, or several take some: then their order is not kept. */
  takers: 'one' | 'several'
}

export class Simulation {
  readonly story: string[] = []
  readonly violations: string[] = []
  readonly #random: Random
  readonly #options: SimulationOptions
  readonly #broker: SimulatedBroker
  readonly #members: Member[] = []
  readonly #messages = new Map<string, Message>()
  readonly #tabs: Tab[] = []
  /** The deliveries of messages to many that have an outcome. */
  readonly #fannedOut = new Set<unknown>()
  #step = 0

  constructor (seed: number, options: SimulationOptions) {
    this.#random = generator(seed)
    this.#options = options
    this.#broker = new SimulatedBroker(this.#random)
  }

  /** Runs the schedule to its end, and returns what went wrong, in words. */
  async run (): Promise<string[]> {
    for (let n = 0; n < FIRST_INSTANCES; n++) this.#join()
    if (this.#random.between(0, 3) > 0) await this.#rest()
    for (let n = 0; n < this.#options.steps; n++) {
      this.#step++
      this.#takeStep()
      this.#endTurns()
      await microtasks()
    }
    await this.#finish()
    this.#check()
    return this.violations
  }

  #alive (): Member[] {
    return this.#members.filter(({ isGone }) => !isGone)
  }

  #takeStep (): void {
    const random = this.#random
    const choice = random.between(0, 99)
    if (choice < 45) {
      this.#move()
      return
    }
    if (choice < 57) return this.#publish()
    if (choice < 68) return this.#connect()
    if (choice < 73) return this.#disconnect()
    if (choice < 76) return this.#changeGroup()
    if (choice < 81) return this.#acknowledge()
    if (choice < 88) return this.#passTime(random.between(1, 4) * 50)
    if (choice < 90) return this.#loseChannel()
    if (choice < 92) return this.#loseInbox()
    if (choice < 94) return this.#heal()
    if (choice < 96) return this.#freeze()
    if (choice < 97) return this.#kill()
    if (choice < 98) return this.#leave()
    if (choice < 99 && this.#alive().length < MAX_INSTANCES) return this.#join()
    this.#loseQueueChannel()
  }

  /** One frame, confirm or message moves on: one of those that can. */
  #move (): boolean {
    const steps = this.#broker.steps(owner => this.#members[owner]!.isFrozen === false)
    for (const member of this.#alive()) {
      if (!member.isFrozen && member.inbox !== undefined && member.inbox.frames.length > 0) steps.push(() => this.#receive(member))
    }
    const taker = this.#taker()
    if (taker !== undefined && this.#nextMessage() !== undefined) steps.push(() => this.#take(taker))
    if (steps.length === 0) return false
    this.#random.oneOf(steps)()
    return true
  }

  #receive (member: Member): void {
    const published = member.inbox!.frames.shift()!
    const frame = published.decoded ??= decodeFrame(Buffer.from(published.frame), published.to === EVERYBODY)
    if (typeof frame === 'string') this.violations.push(`a frame was ${frame}`)
    else member.core.receive(frame)
  }

  #taker (): Member | undefined {
    const taker = this.#anyTaker()
    return taker.isFrozen ? undefined : taker
  }

  /**
   * The single active consumer, or one of several consumers. A new instance finds its peers within a second. Here frames
   * may be slower than that, so only an instance that was there from the beginning takes messages.
   */
  #anyTaker (): Member {
    const alive = this.#alive()
    const first = alive.filter(({ number }) => number < FIRST_INSTANCES)
    return this.#options.takers === 'one' || first.length === 0 ? alive[0]! : this.#random.oneOf(first)
  }

  #nextMessage (): Message | undefined {
    for (const message of this.#messages.values()) if (message.origin === undefined && message.outcome === undefined) return message
    return undefined
  }

  #take (member: Member): void {
    const message = this.#nextMessage()!
    const origin = message.origin = new MemoryMessage(message.takenAt > 0)
    if (message.taker !== member) message.takenAt = this.#step
    message.taker = member
    message.takenFirst ||= this.#step
    this.#tell(`${member.number} takes ${message.id}`)
    const result = this.#deliver(member, message, origin)
    if (result instanceof Promise) result.then(summary => this.#settle(message, origin, summary), () => {})
    else this.#settle(message, origin, result)
  }

  #settle (message: Message, origin: MemoryMessage, summary: Summary): void {
    if (message.origin !== origin || origin.gone.aborted) return
    message.outcome = outcomeOf(summary)
    this.#checkOffline(message, summary)
    if (!('userIds' in message.audience)) this.#checkReached(message, message.audience)
  }

  #deliver ({ instance: { dispatcher }, fanOut }: Member, { id, audience }: Message, origin: MemoryMessage): Summary | Promise<Summary> {
    const payload = composePayload(id, id)
    if (!('userIds' in audience) || audience.userIds.size > 1) return fanOut.deliver(new Multicast(audience, payload), origin)
    const [userId] = audience.userIds as Set<string> & Iterable<string>
    const result = dispatcher.deliver({ userId: userId!, payload }, origin)
    return result instanceof Promise ? result.then(toSummary) : toSummary(result)
  }

  /** Nobody who was welcomed before the message was taken may be called offline. */
  #checkOffline ({ id, audience, takenAt }: Message, { outcomes: { offline = 0 } }: Summary): void {
    if (!('userIds' in audience)) return // whoever leaves is
    const reachable = [...audience.userIds].filter(userId => this.#tabs.some(tab => tab.isOpen && tab.subscriber.userId === userId && tab.welcomedAt < takenAt && tab.troubledAt < takenAt))
    if (offline > audience.userIds.size - reachable.length) this.violations.push(`${id} has the outcome offline for ${offline}, though ${reachable} were welcomed`)
  }

  /** When a message for a group, or for everybody, is settled, each connection that it is for has it. */
  #checkReached (message: Message, { group }: Connected): void {
    const { id, takenAt } = message
    for (const tab of this.#tabs) {
      if (!tab.isOpen || tab.welcomedAt >= takenAt || tab.troubledAt >= takenAt || !isFor(message, tab)) continue
      if (group !== undefined && tab.groups.get(group)!.since >= takenAt) continue
      if (!tab.subscriber.sent.some(sent => sent.id === id)) this.violations.push(`${tab.subscriber.id} has not got ${id}, which is settled (${message.outcome})`)
    }
  }

  /** A connection is sent a message: it must be for that connection. */
  #checkRecipient (id: string, tab: Tab): void {
    if (!isFor(this.#messages.get(id)!, tab)) this.violations.push(`${tab.subscriber.id} got ${id}, which is not for it`)
  }

  #publish (): void {
    const random = this.#random
    const number = this.#messages.size + 1
    const userId = random.oneOf(USERS)
    const [id, audience] = random.oneOf<() => [string, Audience]>([
      () => [`${userId}${number}`, { userIds: new Set([userId]) }],
      () => [`${userId}${number}`, { userIds: new Set([userId]) }],
      () => [`m${number}`, { userIds: new Set([userId, random.oneOf(USERS)]) }],
      () => [`m${number}`, { group: random.oneOf([...GROUPS, undefined]), except: new Set(random.between(0, 2) > 0 ? [] : [userId]) }]
    ])()
    this.#messages.set(id, { id, number, audience, origin: undefined, outcome: undefined, takenFirst: 0, takenAt: 0, taker: undefined })
  }

  #connect (): void {
    const members = this.#alive().filter(({ isFrozen }) => !isFrozen)
    if (members.length === 0) return
    const member = this.#random.oneOf(members)
    const userId = this.#random.oneOf(USERS)
    const subscriber = new WatchedSubscriber(userId, this.#options.settle === 'acknowledged', id => this.#checkRecipient(id, tab))
    const groups = GROUPS.filter(() => this.#random.between(0, 2) === 0)
    const tab: Tab = { subscriber, member, groups: new Map(groups.map(group => [group, { since: -1 }])), welcomedAt: Infinity, isOpen: true, troubledAt: this.#isTroubled(member) ? Infinity : -1 }
    this.#tabs.push(tab)
    this.#tell(`${subscriber.id} of ${userId} comes to ${member.number}, in ${groups}`)
    member.admission.enter(asConnection(subscriber), groups)
  }

  #welcome (connection: Connection): void {
    const tab = this.#tabs.find(({ subscriber }) => asConnection(subscriber) === connection)!
    const { member, subscriber } = tab
    if (member.isGone) return
    tab.welcomedAt = this.#step
    this.#tell(`${subscriber.id} is welcomed`)
    member.instance.dispatcher.joined(subscriber)
  }

  /** join() or leave() is called on an instance, which does it and tells the others. */
  #changeGroup (): void {
    const members = this.#alive().filter(({ isFrozen }) => !isFrozen)
    if (members.length === 0) return
    const { oneOf } = this.#random
    const member = oneOf(members)
    const membership: Membership = { userId: oneOf(USERS), group: oneOf(GROUPS), joins: oneOf([true, false]) }
    this.#applyGroup(member, membership)
    this.#broker.publish(member.number, EVERYBODY, member.core.encode('membership', JSON.stringify(membership)), () => {})
  }

  #applyGroup (member: Member, { userId, group, joins }: Membership): void {
    const tabs = this.#tabs.filter(tab => tab.isOpen && tab.member === member && tab.subscriber.userId === userId)
    this.#tell(`${userId} ${joins ? 'joins' : 'leaves'} ${group} on ${member.number}`)
    if (!joins) {
      for (const { groups } of tabs) groups.delete(group)
      member.admission.leaveGroup(userId, group)
      member.instance.dispatcher.leftGroup(userId)
      return
    }
    const joined = tabs.filter(({ groups }) => !groups.has(group)).map(({ groups }) => {
      const membership = { since: Infinity }
      groups.set(group, membership)
      return membership
    })
    member.admission.join(userId, group).reachable.then(() => { for (const membership of joined) membership.since = this.#step })
  }

  #disconnect (): void {
    const open = this.#tabs.filter(({ isOpen, member }) => isOpen && !member.isFrozen && !member.isGone)
    if (open.length > 0) this.#end(this.#random.oneOf(open))
  }

  #end (tab: Tab): void {
    const { subscriber, member } = tab
    this.#tell(`${subscriber.id} leaves`)
    tab.isOpen = false
    subscriber.isUsable = false
    member.admission.leave(asConnection(subscriber))
    member.instance.dispatcher.left(subscriber)
  }

  #acknowledge (): void {
    if (this.#options.settle === 'sent') return
    const open = this.#tabs.filter(({ isOpen, welcomedAt, member }) => isOpen && welcomedAt < Infinity && !member.isFrozen && !member.isGone)
    if (open.length === 0) return
    const { subscriber, member } = this.#random.oneOf(open)
    member.instance.dispatcher.acknowledged(subscriber, subscriber.sent.map(({ id }) => id))
  }

  #passTime (milliseconds: number): void {
    this.#broker.now += milliseconds
    for (const { core, isFrozen, inbox } of this.#alive()) if (!isFrozen && inbox !== undefined) core.tick()
  }

  #loseChannel (): void {
    const member = this.#random.oneOf(this.#alive())
    if (!this.#broker.hasChannel(member.number)) return
    this.#tell(`${member.number} loses its channel`)
    this.#trouble(member)
    this.#broker.closeChannel(member.number)
  }

  #loseInbox (): void {
    const member = this.#random.oneOf(this.#alive())
    if (member.inbox === undefined) return
    this.#tell(`${member.number} loses its inbox`)
    this.#trouble(member)
    this.#broker.closeInbox(member.inbox)
    member.inbox = undefined
    member.core.suspend()
  }

  #freeze (): void {
    const member = this.#random.oneOf(this.#alive())
    this.#tell(`${member.number} ${member.isFrozen ? 'goes on' : 'freezes'}`)
    member.isFrozen = !member.isFrozen
  }

  #heal (member = this.#random.oneOf(this.#alive())): void {
    if (member.isFrozen) return
    const isChanged = member.inbox === undefined || !this.#broker.hasChannel(member.number)
    if (!isChanged) return
    member.inbox ??= this.#broker.openInbox(member.number)
    if (!this.#broker.hasChannel(member.number)) this.#broker.openChannel(member.number)
    this.#tell(`${member.number} is connected again, with ${member.inbox.name}`)
    member.core.opened(member.inbox.name)
    this.#relieve(member)
  }

  #kill (): void {
    if (this.#alive().length < 2) return
    const member = this.#random.oneOf(this.#alive())
    this.#tell(`${member.number} is killed`)
    this.#remove(member)
  }

  #leave (): void {
    const members = this.#alive().filter(({ isFrozen }) => !isFrozen)
    if (members.length < 2) return
    const member = this.#random.oneOf(members)
    this.#tell(`${member.number} leaves`)
    member.core.leave()
    for (const tab of this.#tabs) if (tab.isOpen && tab.member === member) this.#end(tab)
    member.core.close()
    this.#remove(member, false)
  }

  #remove (member: Member, isSudden = true): void {
    member.isGone = true
    this.#redeliver(member)
    for (const tab of this.#tabs) {
      if (tab.member !== member) continue
      tab.isOpen = false
      tab.subscriber.isUsable = false
    }
    this.#broker.closeInbox(member.inbox)
    if (isSudden) this.#broker.closeChannel(member.number, false) // else what it has published goes out
  }

  /** The channel of a taker is lost: the broker delivers again what is not settled. */
  #loseQueueChannel (): void {
    const member = this.#anyTaker()
    this.#tell(`${member.number} loses the channel of the queue`)
    this.#redeliver(member)
  }

  #redeliver (taker: Member): void {
    for (const message of this.#messages.values()) {
      if (message.taker !== taker || message.outcome !== undefined || message.origin === undefined) continue
      const { origin } = message
      message.origin = undefined
      origin.lose()
    }
  }

  #join (): void {
    const number = this.#members.length
    const deferred: Array<() => void> = []
    const broker = this.#broker
    const instance = startInstance({ settle: this.#options.settle, maxUnacked: 1_000 })
    const core: ClusterCore = new ClusterCore({
      instance: `instance-${number}`,
      wire: {
        get state () { return broker.hasChannel(number) ? 'open' as const : 'closed' as const },
        publish: (to, frame, done) => broker.publish(number, to, frame, done),
        now: () => broker.now,
        defer: run => { deferred.push(run) },
        reopen: () => this.violations.push(`${number} thinks that its bindings are lost`)
      },
      awaitsAcks: this.#options.settle === 'acknowledged',
      receiptTimeout: 1_000,
      publishTimeout: 600_000,
      log: silent,
      malformed: () => this.violations.push(`${number} can't use what a peer has sent`),
      unsent: { add () {}, sent () {} },
      listener: instance.dispatcher.peerListener,
      traceOf: () => undefined,
      broadcast () {},
      multicast: (audience, payload, redelivered) => fanOut.deliverForPeer(audience, payload, redelivered),
      changeGroup: membership => this.#applyGroup(member, membership),
      closeConnections () {}
    })
    instance.dispatcher.connect(core.peers)
    const groups = new Groups<Connection>()
    const fanOut = new FanOut({ dispatcher: instance.dispatcher, everybody: instance.subscribers, groups, observer: { fannedOut: (_multicast, origin) => this.#checkSettledOnce(origin) } })
    fanOut.peers = core.multicasts
    const admission = new Admission({
      registry: instance.subscribers as Registry<Connection>,
      memberships: new Memberships({ groups, maximum: Infinity, opening: group => core.presence.opening(groupEntry(group)), left: group => core.presence.left(groupEntry(group)) }),
      opening: userId => core.presence.opening(userId),
      left: userId => core.presence.left(userId),
      admitted: connection => this.#welcome(connection)
    })
    const member: Member = { number, instance, core, fanOut, admission, inbox: undefined, deferred, isFrozen: false, isGone: false }
    this.#members.push(member)
    this.#heal(member)
  }

  #checkSettledOnce (origin: unknown): void {
    if (this.#fannedOut.has(origin)) this.violations.push('a message to many was settled twice')
    this.#fannedOut.add(origin)
  }

  /** The turns of the event loops end, or some of them. */
  #endTurns (all = false): void {
    for (const { deferred, isFrozen, isGone } of this.#members) {
      if (isGone) deferred.length = 0
      else if (!isFrozen && (all || this.#random.between(0, 2) > 0)) for (const run of deferred.splice(0)) run()
    }
  }

  #isTroubled ({ number, inbox }: Member): boolean {
    return inbox === undefined || !this.#broker.hasChannel(number)
  }

  #trouble (member: Member): void {
    for (const tab of this.#tabs) if (tab.member === member) tab.troubledAt = Infinity
  }

  /** Its connections miss nothing from the moment on when the others know of their users again. */
  #relieve (member: Member): void {
    for (const tab of this.#tabs) {
      if (tab.member !== member || !tab.isOpen || tab.troubledAt !== Infinity) continue
      const known = (): void => { if (!this.#isTroubled(member)) tab.troubledAt = this.#step }
      const { presence } = member.core
      Promise.all([tab.subscriber.userId, ...Array.from(tab.groups.keys(), groupEntry)].map(entry => presence.opening(entry))).then(known)
    }
  }

  /** Lets everything arrive that is on its way. */
  async #rest (): Promise<void> {
    for (let round = 0; round < 6; round++) {
      for (let moves = 0; moves < 2_000;) {
        const before = moves
        while (moves < before + MOVES_PER_TURN && this.#move()) moves++
        this.#step += moves - before
        this.#endTurns(true)
        await microtasks()
        if (moves === before) break
      }
      this.#passTime(100)
      this.#endTurns(true)
      await microtasks()
    }
  }

  /** Everything is repaired, everybody acknowledges, until every message has its outcome. */
  async #finish (): Promise<void> {
    this.#tell('everything is repaired')
    for (const member of this.#alive()) {
      member.isFrozen = false
      this.#heal(member)
    }
    for (let round = 0; round < 40; round++) {
      await this.#rest()
      if (this.#options.settle === 'acknowledged') {
        for (const { subscriber, member, isOpen } of this.#tabs) {
          if (isOpen) member.instance.dispatcher.acknowledged(subscriber, subscriber.sent.map(({ id }) => id))
        }
      }
      if ([...this.#messages.values()].every(({ outcome }) => outcome !== undefined)) break
    }
    await this.#rest()
  }

  #check (): void {
    for (const { id, outcome } of this.#messages.values()) if (outcome === undefined) this.violations.push(`${id} has no outcome`)
    for (const { number, instance, fanOut } of this.#alive()) {
      for (const { id } of [...instance.dispatcher.waiting(), ...fanOut.waiting()]) this.violations.push(`${number} still waits for ${id}`)
    }
    for (const tab of this.#tabs) {
      this.#checkOnce(tab)
      if (this.#options.takers === 'one') this.#checkOrder(tab)
      this.#checkComplete(tab)
    }
  }

  /**
   * After a taker has died, what it has relayed may arrive later than what the next taker has sent. So the copy that
   * is marked as redelivered may be the first one.
   */
  #checkOnce ({ subscriber: { id, sent } }: Tab): void {
    for (const message of this.#messages.values()) {
      const copies = sent.filter(copy => copy.id === message.id)
      const marked = copies.filter(({ redelivered }) => redelivered).length
      if (copies.length - marked > 1 || (copies.length > 1 && marked === 0)) this.violations.push(`${id} got ${message.id} twice`)
    }
  }

  /** What a taker that has gone had relayed may arrive after what the next one delivers. So each taker's order counts. */
  #checkOrder ({ subscriber: { id, sent } }: Tab): void {
    for (const taker of this.#members) {
      const taken = new Set([...this.#messages.values()].filter(message => isToOne(message) && message.taker === taker && message.takenAt === message.takenFirst).map(message => message.id))
      const numbers = sent.filter(copy => !copy.redelivered && taken.has(copy.id)).map(copy => Number(copy.id.slice(1)))
      const wrong = numbers.findIndex((number, n) => n > 0 && number < numbers[n - 1]!)
      if (wrong > 0) this.violations.push(`${id} got ${numbers[wrong]} after ${numbers[wrong - 1]}`)
    }
  }

  /** A connection that is still open has everything that was taken after its welcome, unless its instance was in trouble. */
  #checkComplete ({ subscriber: { id, userId, sent }, isOpen, welcomedAt, troubledAt }: Tab): void {
    if (!isOpen) return
    for (const message of this.#messages.values()) {
      if (message.taker?.isGone === true) continue // it had a client's ack, and went before it had told the others
      if (!('userIds' in message.audience && message.audience.userIds.has(userId)) || message.takenFirst <= welcomedAt || troubledAt >= message.takenFirst) continue
      if (!sent.some(({ id }) => id === message.id)) this.violations.push(`${id} has not got ${message.id} (${message.outcome})`)
    }
  }

  #tell (what: string): void {
    this.story.push(`${this.#step}: ${what}`)
  }
}

/** A connection that tells what it is sent. */
class WatchedSubscriber extends MemorySubscriber {
  constructor (userId: string, acknowledges: boolean, private readonly receives: (id: string) => void) {
    super(userId, acknowledges)
  }

  override send (payload: Payload, redelivered: boolean): boolean {
    if (this.isUsable) this.receives(payload.id)
    return super.send(payload, redelivered)
  }
}

/** Whether a message is for a connection, by the groups that it is in now. */
function isFor ({ audience }: Message, { subscriber: { userId }, groups }: Tab): boolean {
  if ('userIds' in audience) return audience.userIds.has(userId)
  return !audience.except.has(userId) && (audience.group === undefined || groups.has(audience.group))
}

function isToOne ({ audience }: Message): boolean {
  return 'userIds' in audience && audience.userIds.size === 1
}

function toSummary ({ outcome }: { outcome: Outcome }): Summary {
  return { users: 1, connections: 0, outcomes: { [outcome]: 1 } }
}

/** The admission uses nothing else of a connection. */
function asConnection (subscriber: MemorySubscriber): Connection {
  return subscriber as unknown as Connection
}

const silent = { debug () {}, info () {}, warn () {}, error (fields: unknown) { console.error(fields) } } as never

async function microtasks (): Promise<void> {
  for (let n = 0; n < 6; n++) await undefined
}
