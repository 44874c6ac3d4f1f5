// Several instances with the real delivery and the real cluster core, on a simulated broker. A random schedule decides
// what happens when: users come and go, and join and leave groups; channels and inboxes are lost; the broker has an alarm;
// instances freeze, end, leave and join. checks.ts says what must hold.
import { decodeFrame } from '../../../src/cluster/frames.js'
import { EVERYBODY } from '../../../src/cluster/wire.js'
import { generator } from '../random.js'
import { checkEnd, checkReleased } from './checks.js'
import { SimulatedClients } from './clients.js'
import { SimulatedFaults } from './faults.js'
import { startMember } from './instance.js'
import { SimulatedQueue } from './queue.js'
import { FIRST_INSTANCES, World, type Member, type SimulationOptions } from './world.js'

const MAX_INSTANCES = 5

/** How much arrives in a turn of the event loops while nothing else happens. */
const MOVES_PER_TURN = 4

/** How much arrives at most before the next thing happens. An announcement to five instances takes twelve moves. */
const MAX_MOVES = 40

export class Simulation {
  readonly #world: World
  readonly #queue: SimulatedQueue
  readonly #clients: SimulatedClients
  readonly #faults: SimulatedFaults

  constructor (seed: number, options: SimulationOptions) {
    this.#world = new World(options, generator(seed))
    this.#queue = new SimulatedQueue(this.#world)
    this.#clients = new SimulatedClients(this.#world)
    this.#faults = new SimulatedFaults(this.#world, this.#queue, this.#clients)
  }

  /** What has happened, a line for each event. */
  get story (): string[] {
    return this.#world.story
  }

  /** Runs the schedule to its end, by clocks of its own, and returns what went wrong, in words. */
  async run (): Promise<string[]> {
    const { broker, violations } = this.#world
    const [steady, wall] = [performance.now, Date.now]
    performance.now = () => broker.now
    Date.now = () => broker.now + this.#world.step // no two takers take something at the same time
    try {
      await this.#run()
    } finally {
      performance.now = steady
      Date.now = wall
    }
    return violations
  }

  async #run (): Promise<void> {
    const { options, random } = this.#world
    for (let n = 0; n < FIRST_INSTANCES; n++) this.#join()
    if (random.between(0, 3) > 0) await this.#rest()
    for (let n = 0; n < options.steps; n++) {
      this.#world.step++
      await this.#takeStep()
      this.#endTurns()
      await this.#settleDown()
    }
    await this.#finish()
    this.#world.check(checkEnd)
  }

  #takeStep (): void | Promise<void> {
    const { random, isSlow } = this.#world
    if (random.between(0, 199) === 0) return this.#faults.startAlarm()
    const choice = random.between(0, 99)
    if (choice < 45) return this.#moveOn(random.between(1, MAX_MOVES))
    if (choice < 57) return this.#queue.publish()
    if (choice < 68) return this.#clients.connect()
    if (choice < 73) return this.#clients.disconnect()
    if (choice < 76) return this.#clients.changeGroup()
    if (choice < 81) return this.#clients.acknowledge()
    if (choice < 88) return this.#passTime(random.between(1, 4) * (isSlow ? 100 : 50))
    if (choice < 90) return this.#faults.loseChannel()
    if (choice < 92) return this.#faults.loseInbox()
    if (choice < 94) return this.#faults.heal()
    if (choice < 96) return this.#faults.freeze()
    if (choice < 97) return this.#faults.kill()
    if (choice < 98) return this.#faults.leave()
    if (choice < 99 && this.#world.alive().length < MAX_INSTANCES) return this.#join()
    this.#queue.loseChannel()
  }

  /** Another instance begins. */
  #join (): void {
    this.#faults.heal(startMember(this.#world, this.#clients))
  }

  /** So many frames, confirms and messages move on. */
  async #moveOn (moves: number): Promise<void> {
    for (let n = 1; n <= moves && this.#move(); n++) {
      if (n % MOVES_PER_TURN !== 0) continue
      this.#world.step++
      this.#endTurns()
      await this.#settleDown()
    }
  }

  /** One frame, confirm or message moves on: one of those that can. */
  #move (): boolean {
    const { broker, members, random } = this.#world
    const steps = broker.steps(owner => members[owner]!.isFrozen === false)
    for (const member of this.#world.awake()) {
      if (member.inbox !== undefined && member.inbox.frames.length > 0) steps.push(() => this.#receive(member))
      if (member.hold !== undefined) steps.push(...member.hold.steps())
    }
    const taker = this.#queue.taker()
    if (taker !== undefined && this.#queue.next() !== undefined) steps.push(() => this.#queue.take(taker))
    if (steps.length === 0) return false
    random.oneOf(steps)()
    return true
  }

  #receive (member: Member): void {
    const published = member.inbox!.frames.shift()!
    const frame = published.decoded ??= decodeFrame(Buffer.from(published.frame), published.to === EVERYBODY)
    if (typeof frame === 'string') this.#world.violations.push(`a frame was ${frame}`)
    else member.core.receive(frame)
  }

  #passTime (milliseconds: number): void {
    this.#world.broker.now += milliseconds
    for (const { core, instance, isFrozen, inbox } of this.#world.alive()) {
      if (isFrozen) continue
      if (inbox !== undefined) core.tick()
      if (this.#world.isSlow) instance.dispatcher.tick()
    }
  }

  /** The turns of the event loops end, or some of them. */
  #endTurns (all = false): void {
    for (const { deferred, isFrozen, isGone } of this.#world.members) {
      if (isGone) deferred.length = 0
      else if (!isFrozen && (all || this.#world.random.between(0, 2) > 0)) for (const run of deferred.splice(0)) run()
    }
  }

  /** Lets everything arrive that is on its way. */
  async #rest (isAcknowledged = false): Promise<void> {
    for (let round = 0; round < 6; round++) {
      if (isAcknowledged) for (const tab of this.#world.tabs) if (tab.isOpen) this.#clients.acknowledgeAll(tab)
      this.#passTime(100)
      this.#endTurns(true)
      await this.#settleDown()
      for (let moves = 0; moves < 2_000;) {
        const before = moves
        while (moves < before + MOVES_PER_TURN && this.#move()) moves++
        this.#world.step += moves - before
        this.#endTurns(true)
        await this.#settleDown()
        if (moves === before) break
      }
    }
  }

  /** Everything is repaired, everybody acknowledges, until every message has its outcome. */
  async #finish (): Promise<void> {
    this.#world.tell('everything is repaired')
    this.#faults.endAlarm()
    for (const member of this.#world.alive()) {
      if (member.isFrozen) {
        member.isFrozen = false
        if (member.hasMissedAlarm) this.#faults.noticeEnd(member)
      }
      this.#faults.heal(member)
    }
    await this.#rest()
    this.#world.check(checkReleased)
    for (let round = 0; round < 40; round++) {
      await this.#rest(this.#world.options.settle === 'acknowledged')
      if (!this.#isBusy) break
    }
    await this.#rest(this.#world.options.settle === 'acknowledged')
  }

  /** Whether a message has no outcome, or a client is still to get something: slow ones take two at a time. */
  get #isBusy (): boolean {
    if (this.#world.messages.some(({ outcome }) => outcome === undefined)) return true
    return this.#world.alive().some(({ instance, fanOut }) => [...instance.dispatcher.waiting(), ...fanOut.waiting()].length > 0)
  }

  /** Lets those go on whose turn it is. With a hold, that includes the next turns of the event loop. */
  async #settleDown (): Promise<void> {
    if (this.#world.options.offline === 'hold') await new Promise(resolve => { setImmediate(resolve) })
    for (let n = 0; n < 6; n++) await undefined
  }
}
