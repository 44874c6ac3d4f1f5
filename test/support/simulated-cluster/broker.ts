// The part of RabbitMQ that instances use to reach each other, in memory. A test decides when anything moves on.
import type { decodeFrame } from '../../../src/cluster/frames.js'
import { EVERYBODY, type Published } from '../../../src/cluster/wire.js'
import type { Random } from '../random.js'

/** How long a new binding may be unknown to other nodes, in milliseconds. Shorter than the pause of a joining instance. */
const MAX_LAG = 60

/** A frame that was published, and has to reach its inboxes. */
interface Publish {
  readonly channel: Channel
  readonly to: string
  readonly frame: string
  /** What an instance has decoded it to, for the others. */
  decoded?: ReturnType<typeof decodeFrame>
  readonly done: (published: Published) => void
  /** In how many inboxes it is not yet. */
  missing: number
}

/**
 * Frames from one channel to one inbox. Frames to one inbox, to few and to many take different ways inside of RabbitMQ, and
 * may overtake each other.
 */
type Path = Publish[]

export class Inbox {
  readonly frames: Array<Pick<Publish, 'to' | 'frame' | 'decoded'>> = []
  isOpen = true
  /** When the nodes of other instances know it. */
  readonly visibleAt: number

  constructor (readonly name: string, readonly owner: number, visibleAt: number) {
    this.visibleAt = visibleAt
  }
}

/** What one instance publishes on. The broker routes its publishes in order. */
class Channel {
  isOpen = true
  readonly unrouted: Publish[] = []
  readonly unconfirmed = new Set<Publish>()
  /** Answers that are on their way to the instance. */
  readonly answers: Array<() => void> = []

  constructor (readonly owner: number) {}
}

export class SimulatedBroker {
  now = 0
  /** Whether it takes no publishes, because of an alarm. */
  isBlocked = false
  readonly inboxes = new Map<string, Inbox>()
  readonly #channels = new Map<number, Channel>()
  readonly #paths = new Map<string, Path>()
  readonly #random: Random
  #lastInbox = 0

  constructor (random: Random) {
    this.#random = random
  }

  openInbox (owner: number): Inbox {
    const inbox = new Inbox(`inbox-${++this.#lastInbox}`, owner, this.now + this.#random.between(0, MAX_LAG))
    this.inboxes.set(inbox.name, inbox)
    return inbox
  }

  closeInbox (inbox: Inbox | undefined): void {
    if (inbox === undefined) return
    inbox.isOpen = false
    this.inboxes.delete(inbox.name)
  }

  openChannel (owner: number): void {
    this.#channels.set(owner, new Channel(owner))
  }

  hasChannel (owner: number): boolean {
    return this.#channels.get(owner)?.isOpen === true
  }

  /** Closes the channel of an instance. What the broker has not routed is lost; the instance knows of no confirm any more. */
  closeChannel (owner: number, isTold = true): void {
    const channel = this.#channels.get(owner)
    if (channel === undefined) return
    channel.isOpen = false
    this.#channels.delete(owner)
    channel.answers.length = 0
    channel.unrouted.length = 0
    if (isTold) for (const { done } of channel.unconfirmed) done('unknown')
    channel.unconfirmed.clear()
  }

  publish (owner: number, to: string, frame: string, done: (published: Published) => void): void {
    const channel = this.#channels.get(owner)
    if (channel === undefined || this.isBlocked) return done('unknown')
    const publish: Publish = { channel, to, frame, done, missing: 0 }
    channel.unconfirmed.add(publish)
    channel.unrouted.push(publish)
  }

  /** Everything that can happen next in the broker, and at the doors of the instances that are awake. */
  steps (isAwake: (owner: number) => boolean): Array<() => void> {
    const steps: Array<() => void> = []
    for (const channel of this.#channels.values()) {
      if (channel.unrouted.length > 0 && !this.isBlocked) steps.push(() => this.#route(channel.unrouted.shift()!))
      if (channel.answers.length > 0 && isAwake(channel.owner)) steps.push(() => channel.answers.shift()!())
    }
    for (const [key, path] of this.#paths) steps.push(() => this.#arrive(key, path))
    return steps
  }

  #route (publish: Publish): void {
    const { channel: { owner }, to } = publish
    const targets = [...this.inboxes.values()].filter(inbox => (to === EVERYBODY || inbox.name === to) && (inbox.owner === owner || inbox.visibleAt <= this.now))
    publish.missing = targets.length
    if (targets.length === 0) return this.#answer(publish, 'returned')
    for (const { name } of targets) {
      const key = `${owner}/${name}/${to !== EVERYBODY ? 'one' : targets.length > 2 ? 'many' : 'few'}`
      const path = this.#paths.get(key)
      if (path === undefined) this.#paths.set(key, [publish])
      else path.push(publish)
    }
  }

  #arrive (key: string, path: Path): void {
    const publish = path.shift()!
    if (path.length === 0) this.#paths.delete(key)
    this.inboxes.get(key.split('/')[1]!)?.frames.push(publish)
    if (--publish.missing === 0) this.#answer(publish, 'routed')
  }

  #answer (publish: Publish, published: Published): void {
    const { channel, done } = publish
    if (!channel.isOpen) return
    channel.answers.push(() => {
      channel.unconfirmed.delete(publish)
      done(published)
    })
  }
}
