// Several instances with the real delivery and the real cluster core, on a simulated broker. A random schedule decides
// what happens when: users come and go, and join and leave groups; channels and inboxes are lost; the broker has an alarm;
// instances freeze, end, leave and join. simulated-checks.ts says what must hold.
import { ClusterCore } from '../../src/cluster/cluster-core.js'
import { groupEntry } from '../../src/cluster/entries.js'
import { decodeFrame, type Membership } from '../../src/cluster/frames.js'
import type { Peer } from '../../src/cluster/peer.js'
import { EVERYBODY } from '../../src/cluster/wire.js'
import type { Outcome } from '../../src/delivery/doors.js'
import { FanOut } from '../../src/delivery/fan-out.js'
import { Groups } from '../../src/delivery/groups.js'
import { Multicast, outcomeOf, type Audience, type Summary } from '../../src/delivery/multicast.js'
import { composePayload } from '../../src/delivery/notification.js'
import type { Payload } from '../../src/delivery/payload.js'
import type { Registry } from '../../src/delivery/registry.js'
import { Admission } from '../../src/websocket/admission.js'
import type { Connection } from '../../src/websocket/connection.js'
import { Memberships } from '../../src/websocket/memberships.js'
import { MemoryMessage, MemoryStore, MemorySubscriber, startInstance } from './core.js'
import { generator, type Random } from './random.js'
import { SimulatedBroker } from './simulated-broker.js'
import { ANYBODY, checkEnd, checkOffline, checkReached, checkReleased, isFor, type Member, type Message, type SimulationOptions, type Tab, type World } from './simulated-checks.js'
import { HoldConnection } from './simulated-hold.js'

const USERS = ['a', 'b', 'c']
/** One has the name of a user. */
const GROUPS = ['a', 'g']
const MAX_INSTANCES = 5

/** How much arrives in a turn of the event loops while nothing else happens. */
const MOVES_PER_TURN = 4

/** How much arrives at most before the next thing happens. An announcement to five instances takes twelve moves. */
const MAX_MOVES = 40

/** How many instances start together. */
const FIRST_INSTANCES = 3

/** The room, the window and the time of slow clients, in milliseconds. */
const SLOW = { maxUnacked: 2, ackTimeout: 300, windowSize: { count: 6, bytes: Infinity } }
const QUICK = { maxUnacked: 1_000, ackTimeout: 600_000, windowSize: undefined }

export class Simulation {
  readonly story: string[] = []
  readonly violations: string[] = []
  readonly #random: Random
  readonly #options: SimulationOptions
  readonly #broker: SimulatedBroker
  readonly #members: Member[] = []
  readonly #messages = new Map<string, Message>()
  readonly #tabs: Tab[] = []
  readonly #store = new MemoryStore()
  /** The deliveries of messages to many that have an outcome. */
  readonly #fannedOut = new Set<unknown>()
  #step = 0

  constructor (seed: number, options: SimulationOptions) {
    this.#random = generator(seed)
    this.#options = options
    this.#broker = new SimulatedBroker(this.#random)
  }

  /** Runs the schedule to its end, by clocks of its own, and returns what went wrong, in words. */
  async run (): Promise<string[]> {
    const [steady, wall] = [performance.now, Date.now]
    performance.now = () => this.#broker.now
    Date.now = () => this.#broker.now + this.#step // no two takers take something at the same time
    try {
      await this.#run()
    } finally {
      performance.now = steady
      Date.now = wall
    }
    return this.violations
  }

  async #run (): Promise<void> {
    for (let n = 0; n < FIRST_INSTANCES; n++) this.#join()
    if (this.#random.between(0, 3) > 0) await this.#rest()
    for (let n = 0; n < this.#options.steps; n++) {
      this.#step++
      await this.#takeStep()
      this.#endTurns()
      await this.#settleDown()
    }
    await this.#finish()
    this.#check(checkEnd)
  }

  get #isSlow (): boolean {
    return this.#options.clients === 'slow'
  }

  #check (check: (world: World) => Iterable<string>): void {
    this.violations.push(...check(this.#world))
  }

  get #world (): World {
    return { options: this.#options, messages: [...this.#messages.values()], tabs: this.#tabs, members: this.#members, store: this.#store }
  }

  #alive (): Member[] {
    return this.#members.filter(({ isGone }) => !isGone)
  }

  #takeStep (): void | Promise<void> {
    const random = this.#random
    if (random.between(0, 199) === 0) return this.#startAlarm()
    const choice = random.between(0, 99)
    if (choice < 45) return this.#moveOn(random.between(1, MAX_MOVES))
    if (choice < 57) return this.#publish()
    if (choice < 68) return this.#connect()
    if (choice < 73) return this.#disconnect()
    if (choice < 76) return this.#changeGroup()
    if (choice < 81) return this.#acknowledge()
    if (choice < 88) return this.#passTime(random.between(1, 4) * (this.#isSlow ? 100 : 50))
    if (choice < 90) return this.#loseChannel()
    if (choice < 92) return this.#loseInbox()
    if (choice < 94) return this.#heal()
    if (choice < 96) return this.#freeze()
    if (choice < 97) return this.#kill()
    if (choice < 98) return this.#leave()
    if (choice < 99 && this.#alive().length < MAX_INSTANCES) return this.#join()
    this.#loseQueueChannel()
  }

  /** So many frames, confirms and messages move on. */
  async #moveOn (moves: number): Promise<void> {
    for (let n = 1; n <= moves && this.#move(); n++) {
      if (n % MOVES_PER_TURN !== 0) continue
      this.#step++
      this.#endTurns()
      await this.#settleDown()
    }
  }

  /** One frame, confirm or message moves on: one of those that can. */
  #move (): boolean {
    const steps = this.#broker.steps(owner => this.#members[owner]!.isFrozen === false)
    for (const member of this.#alive()) {
      if (member.isFrozen) continue
      if (member.inbox !== undefined && member.inbox.frames.length > 0) steps.push(() => this.#receive(member))
      if (member.hold !== undefined) steps.push(...member.hold.steps())
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
    message.deliveries++
    message.knownTo = peersOf(member, message.audience)
    message.taker = member
    message.takers.push(member)
    message.takenFirst ||= this.#step
    this.#tell(`${member.number} takes ${message.id}`)
    const result = this.#deliver(member, message, origin)
    if (result instanceof Promise) result.then(summary => this.#settle(message, origin, summary), () => {})
    else this.#settle(message, origin, result)
  }

  #settle (message: Message, origin: MemoryMessage, summary: Summary): void {
    if (message.origin !== origin || origin.gone.aborted) return
    message.outcome = outcomeOf(summary)
    message.summary = summary
    message.settledAt = this.#step
    this.#check(world => checkOffline(message, world))
    this.#check(world => checkReached(message, world))
  }

  #deliver ({ instance: { dispatcher }, fanOut }: Member, { id, audience }: Message, origin: MemoryMessage): Summary | Promise<Summary> {
    const payload = composePayload(id, id)
    if (!('userIds' in audience) || audience.userIds.size > 1) return fanOut.deliver(new Multicast(audience, payload), origin)
    const [userId] = audience.userIds as Set<string> & Iterable<string>
    const result = dispatcher.deliver({ userId: userId!, payload }, origin)
    return result instanceof Promise ? result.then(toSummary) : toSummary(result)
  }

  /** A connection is sent a message: it must be for that connection. */
  #checkRecipient (id: string, tab: Tab, redelivered: boolean): void {
    const message = this.#messages.get(id)!
    message.firstTab ??= tab
    this.#tell(`${tab.subscriber.id} is sent ${id}${redelivered ? ' again' : ''}`)
    if (!isFor(message, tab)) this.violations.push(`${tab.subscriber.id} got ${id}, which is not for it`)
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
    this.#messages.set(id, { id, number, audience, origin: undefined, outcome: undefined, summary: undefined, deliveries: 0, takenFirst: 0, takenAt: 0, settledAt: Infinity, taker: undefined, takers: [], knownTo: new Map(), firstTab: undefined })
  }

  #connect (): void {
    const members = this.#alive().filter(({ isFrozen }) => !isFrozen)
    if (members.length === 0) return
    const member = this.#random.oneOf(members)
    const userId = this.#random.oneOf(USERS)
    const subscriber = new WatchedSubscriber(userId, this.#options.settle === 'acknowledged' && !(this.#isSlow && this.#random.between(0, 4) === 0), (id, redelivered) => this.#checkRecipient(id, tab, redelivered))
    const groups = GROUPS.filter(() => this.#random.between(0, 2) === 0)
    const tab: Tab = { subscriber, member, groups: new Map(groups.map(group => [group, { since: -1 }])), acknowledged: new Set(), welcomedAt: Infinity, isOpen: true, troubledAt: this.#isTroubled(member) ? Infinity : -1 }
    this.#tabs.push(tab)
    this.#tell(`${subscriber.id} of ${userId} comes to ${member.number}, in ${groups}`)
    member.admission.enter(asConnection(subscriber), groups)
  }

  #welcome (connection: Connection): void {
    const tab = this.#tabs.find(({ subscriber }) => asConnection(subscriber) === connection)!
    const { member, subscriber } = tab
    if (member.isGone) return
    tab.welcomedAt = this.#step
    if (this.#broker.isBlocked) tab.troubledAt = Infinity // it is let in, but not announced
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
    if (this.#broker.isBlocked) for (const tab of tabs) tab.troubledAt = Infinity
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
    this.#acknowledgeAll(this.#random.oneOf(open))
  }

  #acknowledgeAll ({ subscriber, member, acknowledged }: Tab): void {
    if (!subscriber.acknowledges) return
    const ids = subscriber.sent.map(({ id }) => id)
    for (const id of ids) acknowledged.add(id)
    this.#tell(`${subscriber.id} acknowledges ${ids}`)
    member.instance.dispatcher.acknowledged(subscriber, ids)
  }

  #passTime (milliseconds: number): void {
    this.#broker.now += milliseconds
    for (const { core, instance, isFrozen, inbox } of this.#alive()) {
      if (isFrozen) continue
      if (inbox !== undefined) core.tick()
      if (this.#isSlow) instance.dispatcher.tick()
    }
  }

  /** The broker takes no publishes any more. */
  #startAlarm (): void {
    if (this.#broker.isBlocked) return
    this.#tell('the broker has an alarm')
    this.#broker.isBlocked = true
    for (const member of this.#alive()) member.awayAt = this.#step
  }

  #endAlarm (): void {
    if (!this.#broker.isBlocked) return
    this.#tell('the alarm is over')
    this.#broker.isBlocked = false
    for (const member of this.#alive()) {
      member.hasMissedAlarm = member.isFrozen
      if (!member.isFrozen) this.#noticeEnd(member)
    }
  }

  #noticeEnd (member: Member): void {
    member.hasMissedAlarm = false
    member.awayAt = this.#step
    if (this.#isTroubled(member)) return
    member.core.opened(member.inbox!.name)
    this.#relieve(member)
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
    member.awayAt = this.#step
    if (member.hasMissedAlarm) this.#noticeEnd(member)
  }

  #heal (member = this.#random.oneOf(this.#alive())): void {
    this.#endAlarm()
    if (member.isFrozen) return
    const isChanged = member.inbox === undefined || !this.#broker.hasChannel(member.number)
    if (!isChanged) return
    member.inbox ??= this.#broker.openInbox(member.number)
    if (!this.#broker.hasChannel(member.number)) this.#broker.openChannel(member.number)
    this.#tell(`${member.number} is connected again, with ${member.inbox.name}`)
    member.awayAt = this.#step
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
    const { settle, offline } = this.#options
    const { windowSize, ...limits } = this.#isSlow ? SLOW : QUICK
    const hold = offline === 'hold' ? new HoldConnection(this.#store) : undefined
    const overdue = (subscriber: MemorySubscriber): void => this.#end(this.#tabs.find(tab => tab.subscriber === subscriber)!)
    const instance = startInstance({ settle, offline, ...limits }, { windowSize, store: hold, overdue })
    const name = `instance-${number}`
    const core: ClusterCore = new ClusterCore({
      instance: name,
      wire: {
        get state () { return !broker.hasChannel(number) ? 'closed' : broker.isBlocked ? 'blocked' : 'open' },
        publish: (to, frame, done) => broker.publish(number, to, frame, done),
        now: () => broker.now,
        defer: run => { deferred.push(run) },
        reopen: () => this.violations.push(`${number} thinks that its bindings are lost`)
      },
      awaitsAcks: settle === 'acknowledged',
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
    const member: Member = { number, name, instance, core, fanOut, admission, hold, inbox: undefined, deferred, isFrozen: false, isGone: false, awayAt: 0, hasMissedAlarm: false }
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
    member.awayAt = this.#step
    for (const tab of this.#tabs) if (tab.member === member) tab.troubledAt = Infinity
  }

  /** Its connections miss nothing from the moment on when the others know of their users again. */
  #relieve (member: Member): void {
    for (const tab of this.#tabs) {
      if (tab.member !== member || !tab.isOpen) continue
      const known = (): void => {
        if (this.#isTroubled(member) || this.#broker.isBlocked) return
        member.awayAt = this.#step
        if (tab.troubledAt === Infinity) tab.troubledAt = this.#step
      }
      const { presence } = member.core
      Promise.all([tab.subscriber.userId, ...Array.from(tab.groups.keys(), groupEntry)].map(entry => presence.opening(entry))).then(known)
    }
  }

  /** Lets everything arrive that is on its way. */
  async #rest (isAcknowledged = false): Promise<void> {
    for (let round = 0; round < 6; round++) {
      if (isAcknowledged) for (const tab of this.#tabs) if (tab.isOpen) this.#acknowledgeAll(tab)
      this.#passTime(100)
      this.#endTurns(true)
      await this.#settleDown()
      for (let moves = 0; moves < 2_000;) {
        const before = moves
        while (moves < before + MOVES_PER_TURN && this.#move()) moves++
        this.#step += moves - before
        this.#endTurns(true)
        await this.#settleDown()
        if (moves === before) break
      }
    }
  }

  /** Everything is repaired, everybody acknowledges, until every message has its outcome. */
  async #finish (): Promise<void> {
    this.#tell('everything is repaired')
    this.#endAlarm()
    for (const member of this.#alive()) {
      if (member.isFrozen) {
        member.isFrozen = false
        if (member.hasMissedAlarm) this.#noticeEnd(member)
      }
      this.#heal(member)
    }
    await this.#rest()
    this.#check(checkReleased)
    for (let round = 0; round < 40; round++) {
      await this.#rest(this.#options.settle === 'acknowledged')
      if ([...this.#messages.values()].every(({ outcome }) => outcome !== undefined)) break
    }
    await this.#rest(this.#options.settle === 'acknowledged')
  }

  /** Lets those go on whose turn it is. With a hold, that includes the next turns of the event loop. */
  async #settleDown (): Promise<void> {
    if (this.#options.offline === 'hold') await new Promise(resolve => { setImmediate(resolve) })
    for (let n = 0; n < 6; n++) await undefined
  }

  #tell (what: string): void {
    this.story.push(`${this.#step}: ${what}`)
  }
}

/** A connection that tells what it is sent. */
class WatchedSubscriber extends MemorySubscriber {
  constructor (userId: string, acknowledges: boolean, private readonly receives: (id: string, redelivered: boolean) => void) {
    super(userId, acknowledges)
  }

  override send (payload: Payload, redelivered: boolean): boolean {
    if (this.isUsable) this.receives(payload.id, redelivered)
    return super.send(payload, redelivered)
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

/** The admission uses nothing else of a connection. */
function asConnection (subscriber: MemorySubscriber): Connection {
  return subscriber as unknown as Connection
}

const silent = { debug () {}, info () {}, warn () {}, error (fields: unknown) { console.error(fields) } } as never
