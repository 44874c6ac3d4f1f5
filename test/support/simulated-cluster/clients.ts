import type { Membership } from '../../../src/cluster/frames.js'
import { EVERYBODY } from '../../../src/cluster/wire.js'
import type { Payload } from '../../../src/delivery/payload.js'
import type { Connection } from '../../../src/websocket/connection.js'
import { MemorySubscriber } from '../core.js'
import { isFor } from './checks.js'
import { GROUPS, USERS, type Member, type Tab, type World } from './world.js'

/** The clients: they come and go, join and leave groups, and acknowledge what they get. */
export class SimulatedClients {
  readonly #world: World

  constructor (world: World) {
    this.#world = world
  }

  /** A user connects to an instance. */
  connect (): void {
    const world = this.#world
    const { options, random, tabs } = world
    const members = world.awake()
    if (members.length === 0) return
    const member = random.oneOf(members)
    const userId = random.oneOf(USERS)
    const acknowledges = options.settle === 'acknowledged' && !(world.isSlow && random.between(0, 4) === 0)
    const subscriber = new WatchedSubscriber(userId, acknowledges, (id, redelivered) => this.#checkRecipient(id, tab, redelivered))
    const groups = GROUPS.filter(() => random.between(0, 2) === 0)
    const tab: Tab = {
      subscriber,
      member,
      groups: new Map(groups.map(group => [group, { since: -1 }])),
      acknowledged: new Set(),
      welcomedAt: Infinity,
      isOpen: true,
      troubledAt: world.isTroubled(member) ? Infinity : -1
    }
    tabs.push(tab)
    world.tell(`${subscriber.id} of ${userId} comes to ${member.number}, in ${groups}`)
    member.admission.enter(asConnection(subscriber), groups)
  }

  /** An instance has admitted a connection. */
  welcome (connection: Connection): void {
    const tab = this.#world.tabs.find(({ subscriber }) => asConnection(subscriber) === connection)!
    const { member, subscriber } = tab
    if (member.isGone) return
    tab.welcomedAt = this.#world.step
    if (this.#world.broker.isBlocked) tab.troubledAt = Infinity // it is let in, but not announced
    this.#world.tell(`${subscriber.id} is welcomed`)
    member.instance.dispatcher.joined(subscriber)
  }

  /** A connection is sent a message: it must be for that connection. */
  #checkRecipient (id: string, tab: Tab, redelivered: boolean): void {
    const message = this.#world.messages.find(message => message.id === id)!
    message.firstTab ??= tab
    this.#world.tell(`${tab.subscriber.id} is sent ${id}${redelivered ? ' again' : ''}`)
    if (!isFor(message, tab)) this.#world.violations.push(`${tab.subscriber.id} got ${id}, which is not for it`)
  }

  /** join() or leave() is called on an instance, which does it and tells the others. */
  changeGroup (): void {
    const members = this.#world.awake()
    if (members.length === 0) return
    const { oneOf } = this.#world.random
    const member = oneOf(members)
    const membership: Membership = { userId: oneOf(USERS), group: oneOf(GROUPS), joins: oneOf([true, false]) }
    this.applyGroup(member, membership)
    this.#world.broker.publish(member.number, EVERYBODY, member.core.encode('membership', JSON.stringify(membership)), () => {})
  }

  /** An instance puts its connections of a user into a group, or takes them out. */
  applyGroup (member: Member, { userId, group, joins }: Membership): void {
    const tabs = this.#world.tabs.filter(tab => tab.isOpen && tab.member === member && tab.subscriber.userId === userId)
    this.#world.tell(`${userId} ${joins ? 'joins' : 'leaves'} ${group} on ${member.number}`)
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
    if (this.#world.broker.isBlocked) for (const tab of tabs) tab.troubledAt = Infinity
    member.admission.join(userId, group).reachable.then(() => { for (const membership of joined) membership.since = this.#world.step })
  }

  /** A connection ends: one of those that are open. */
  disconnect (): void {
    const open = this.#world.tabs.filter(({ isOpen, member }) => isOpen && !member.isFrozen && !member.isGone)
    if (open.length > 0) this.end(this.#world.random.oneOf(open))
  }

  /** A connection ends. */
  end (tab: Tab): void {
    const { subscriber, member } = tab
    this.#world.tell(`${subscriber.id} leaves`)
    tab.isOpen = false
    subscriber.isUsable = false
    member.admission.leave(asConnection(subscriber))
    member.instance.dispatcher.left(subscriber)
  }

  /** A client acknowledges what it has got. */
  acknowledge (): void {
    if (this.#world.options.settle === 'sent') return
    const open = this.#world.tabs.filter(({ isOpen, welcomedAt, member }) => isOpen && welcomedAt < Infinity && !member.isFrozen && !member.isGone)
    if (open.length === 0) return
    this.acknowledgeAll(this.#world.random.oneOf(open))
  }

  acknowledgeAll ({ subscriber, member, acknowledged }: Tab): void {
    if (!subscriber.acknowledges) return
    const ids = subscriber.sent.map(({ id }) => id)
    for (const id of ids) acknowledged.add(id)
    this.#world.tell(`${subscriber.id} acknowledges ${ids}`)
    member.instance.dispatcher.acknowledged(subscriber, ids)
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

/** The admission uses nothing else of a connection. */
function asConnection (subscriber: MemorySubscriber): Connection {
  return subscriber as unknown as Connection
}
