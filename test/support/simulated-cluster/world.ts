// Instances, connections and messages of a simulation.
import type { ClusterCore } from '../../../src/cluster/cluster-core.js'
import type { FanOut } from '../../../src/delivery/fan-out.js'
import type { Audience, outcomeOf, Summary } from '../../../src/delivery/multicast.js'
import type { Admission } from '../../../src/websocket/admission.js'
import { MemoryStore, type MemoryInstance, type MemoryMessage, type MemorySubscriber } from '../core.js'
import type { Random } from '../random.js'
import { SimulatedBroker, type Inbox } from './broker.js'
import type { HoldConnection } from './hold.js'

export const USERS = ['a', 'b', 'c']
/** One has the name of a user. */
export const GROUPS = ['a', 'g']

/** How many instances start together. */
export const FIRST_INSTANCES = 3

/** Instead of a user, for what is for a group or for everybody. */
export const ANYBODY = ''

export interface SimulationOptions {
  /** How many random steps. */
  steps: number
  settle: 'sent' | 'acknowledged'
  /** Whether one instance takes all messages, or several take some. Then the order is that of each of them. */
  takers: 'one' | 'several'
  offline: 'drop' | 'hold'
  /** Slow clients have little room and little time. Some of them are plain. So what is for them may be given up. */
  clients: 'quick' | 'slow'
}

/** A message of the queue, which one instance takes at a time. */
export interface Message {
  readonly id: string
  readonly number: number
  readonly audience: Audience
  origin: MemoryMessage | undefined
  outcome: ReturnType<typeof outcomeOf> | undefined
  summary: Summary | undefined
  /** How often the broker has delivered it. */
  deliveries: number
  /** When it was taken first and last, in steps; 0 before. */
  takenFirst: number
  takenAt: number
  /** When it got its outcome, in steps; Infinity before. */
  settledAt: number
  /** Who has taken it last. If that one gets it again, it goes on with the delivery that it has. */
  taker: Member | undefined
  /** All who have taken it. */
  readonly takers: Member[]
  /** The instances that the taker knew to have a user whom it is for, or somebody of the group, when it was taken. */
  knownTo: ReadonlyMap<string, readonly string[]>
  /** Which connection was sent it before all others. */
  firstTab: Tab | undefined
}

/** A connection, and what may be expected for it. */
export interface Tab {
  readonly subscriber: MemorySubscriber
  readonly member: Member
  /** By the name of the group that it is in. */
  readonly groups: Map<string, { /** When its instance has announced the group, in steps; Infinity before. */ since: number }>
  /** The ids that its client has acknowledged. */
  readonly acknowledged: Set<string>
  /** When it was welcomed, in steps; Infinity before. */
  welcomedAt: number
  isOpen: boolean
  /** When its instance was last without an inbox or a channel. In steps; Infinity while it is. */
  troubledAt: number
}

export interface Member {
  readonly number: number
  /** Its name as an instance. */
  readonly name: string
  readonly instance: MemoryInstance
  readonly core: ClusterCore
  readonly fanOut: FanOut
  readonly admission: Admission
  /** With `offline: 'hold'`. */
  readonly hold: HoldConnection | undefined
  inbox: Inbox | undefined
  readonly deferred: Array<() => void>
  isFrozen: boolean
  isGone: boolean
  /** Whether it is gone without a word: its process died, or it had no channel. */
  hasGoneSilently: boolean
  /** When something of it was last lost, or it froze, in steps. */
  awayAt: number
  /** Whether an alarm has ended while it was frozen. */
  hasMissedAlarm: boolean
}

/** What there is in a simulation, and what has happened. */
export class World {
  /** The time, in steps. */
  step = 0
  readonly members: Member[] = []
  readonly messages: Message[] = []
  readonly tabs: Tab[] = []
  readonly store = new MemoryStore()
  readonly broker: SimulatedBroker
  readonly story: string[] = []
  readonly violations: string[] = []
  /** The deliveries of messages to many that have an outcome. */
  readonly #fannedOut = new Set<unknown>()

  constructor (readonly options: SimulationOptions, readonly random: Random) {
    this.broker = new SimulatedBroker(random)
  }

  alive (): Member[] {
    return this.members.filter(({ isGone }) => !isGone)
  }

  awake (): Member[] {
    return this.alive().filter(({ isFrozen }) => !isFrozen)
  }

  get isSlow (): boolean {
    return this.options.clients === 'slow'
  }

  /** Whether an instance has no inbox, or no channel to publish on. */
  isTroubled ({ number, inbox }: Member): boolean {
    return inbox === undefined || !this.broker.hasChannel(number)
  }

  /** A message to many has an outcome. */
  fannedOut (origin: unknown): void {
    if (this.#fannedOut.has(origin)) this.violations.push('a message to many was settled twice')
    this.#fannedOut.add(origin)
  }

  check (check: (world: World) => Iterable<string>): void {
    this.violations.push(...check(this))
  }

  tell (what: string): void {
    this.story.push(`${this.step}: ${what}`)
  }
}
