import { groupEntry } from '../../../src/cluster/entries.js'
import type { SimulatedClients } from './clients.js'
import type { SimulatedQueue } from './queue.js'
import type { Member, World } from './world.js'

/** What happens to instances, channels and inboxes, and to the broker. */
export class SimulatedFaults {
  readonly #world: World
  readonly #queue: SimulatedQueue
  readonly #clients: SimulatedClients

  constructor (world: World, queue: SimulatedQueue, clients: SimulatedClients) {
    this.#world = world
    this.#queue = queue
    this.#clients = clients
  }

  /** The broker takes no publishes any more. */
  startAlarm (): void {
    if (this.#world.broker.isBlocked) return
    this.#world.tell('the broker has an alarm')
    this.#world.broker.isBlocked = true
    for (const member of this.#world.alive()) member.awayAt = this.#world.step
  }

  /** It takes them again. */
  endAlarm (): void {
    if (!this.#world.broker.isBlocked) return
    this.#world.tell('the alarm is over')
    this.#world.broker.isBlocked = false
    for (const member of this.#world.alive()) {
      member.hasMissedAlarm = member.isFrozen
      if (!member.isFrozen) this.noticeEnd(member)
    }
  }

  /** An instance notices that the alarm is over. */
  noticeEnd (member: Member): void {
    member.hasMissedAlarm = false
    member.awayAt = this.#world.step
    if (this.#world.isTroubled(member)) return
    member.core.opened(member.inbox!.name)
    this.#relieve(member)
  }

  /** An instance loses the channel on which it publishes. */
  loseChannel (): void {
    const member = this.#world.random.oneOf(this.#world.alive())
    if (!this.#world.broker.hasChannel(member.number)) return
    this.#world.tell(`${member.number} loses its channel`)
    this.#trouble(member)
    this.#world.broker.closeChannel(member.number)
  }

  loseInbox (): void {
    const member = this.#world.random.oneOf(this.#world.alive())
    if (member.inbox === undefined) return
    this.#world.tell(`${member.number} loses its inbox`)
    this.#trouble(member)
    this.#world.broker.closeInbox(member.inbox)
    member.inbox = undefined
    member.core.suspend()
  }

  /** An instance hangs, or goes on. */
  freeze (): void {
    const member = this.#world.random.oneOf(this.#world.alive())
    this.#world.tell(`${member.number} ${member.isFrozen ? 'goes on' : 'freezes'}`)
    member.isFrozen = !member.isFrozen
    member.awayAt = this.#world.step
    if (member.hasMissedAlarm) this.noticeEnd(member)
  }

  /** An instance is connected again. */
  heal (member = this.#world.random.oneOf(this.#world.alive())): void {
    this.endAlarm()
    if (member.isFrozen) return
    const isChanged = member.inbox === undefined || !this.#world.broker.hasChannel(member.number)
    if (!isChanged) return
    member.inbox ??= this.#world.broker.openInbox(member.number)
    if (!this.#world.broker.hasChannel(member.number)) this.#world.broker.openChannel(member.number)
    this.#world.tell(`${member.number} is connected again, with ${member.inbox.name}`)
    member.awayAt = this.#world.step
    member.core.opened(member.inbox.name)
    this.#relieve(member)
  }

  /** A process dies. */
  kill (): void {
    if (this.#world.alive().length < 2) return
    const member = this.#world.random.oneOf(this.#world.alive())
    this.#world.tell(`${member.number} is killed`)
    member.hasGoneSilently = true
    this.#remove(member)
  }

  /** An instance closes in order, except that it does not wait for what is unsettled. */
  async leave (): Promise<void> {
    const members = this.#world.awake()
    if (members.length < 2) return
    const member = this.#world.random.oneOf(members)
    this.#world.tell(`${member.number} leaves`)
    const { instance: { dispatcher }, core, hold } = member
    member.hasGoneSilently = this.#world.isTroubled(member) || this.#world.broker.isBlocked
    dispatcher.beginToClose()
    core.leave()
    for (const tab of this.#world.tabs) if (tab.isOpen && tab.member === member) this.#clients.end(tab)
    await Promise.all([dispatcher.close(), hold?.close()])
    core.close()
    this.#remove(member, false)
  }

  #remove (member: Member, isSudden = true): void {
    member.isGone = true
    this.#queue.redeliver(member)
    for (const tab of this.#world.tabs) {
      if (tab.member !== member) continue
      tab.isOpen = false
      tab.subscriber.isUsable = false
    }
    this.#world.broker.closeInbox(member.inbox)
    if (isSudden) this.#world.broker.closeChannel(member.number, false) // else what it has published goes out
  }

  #trouble (member: Member): void {
    member.awayAt = this.#world.step
    for (const tab of this.#world.tabs) if (tab.member === member) tab.troubledAt = Infinity
  }

  /** Its connections miss nothing from the moment on when the others know of their users again. */
  #relieve (member: Member): void {
    for (const tab of this.#world.tabs) {
      if (tab.member !== member || !tab.isOpen) continue
      const known = (): void => {
        if (this.#world.isTroubled(member) || this.#world.broker.isBlocked) return
        member.awayAt = this.#world.step
        if (tab.troubledAt === Infinity) tab.troubledAt = this.#world.step
      }
      const { presence } = member.core
      Promise.all([tab.subscriber.userId, ...Array.from(tab.groups.keys(), groupEntry)].map(entry => presence.opening(entry))).then(known)
    }
  }
}
