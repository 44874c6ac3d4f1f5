// Random schedules of everything that can happen to a user's notifications, against what must hold after each.
import { test, type Test } from 'tap'
import { MemoryExchange, MemoryMessage, MemoryStore, settleDown, startInstance, type MemoryInstance, type MemorySubscriber } from '../support/core.js'
import { createRandom, type Random } from '../support/random.js'

const USERS = ['alice', 'bob']

interface Published { readonly id: string, readonly userId: string, isSettled: boolean, deliveries: number }

/** A queue and its channel to one instance: what is not settled when the channel dies is delivered again, in order. */
class Queue {
  readonly all: Published[] = []
  #channel = new AbortController()

  constructor (readonly name: number, readonly instance: MemoryInstance) {}

  publish (userId: string): void {
    const message = { id: `${userId}-${this.name}-${this.all.length}`, userId, isSettled: false, deliveries: 0 }
    this.all.push(message)
    this.#deliver(message)
  }

  loseChannel (): void {
    const lost = this.#channel
    this.#channel = new AbortController()
    lost.abort()
    for (const message of this.all) if (!message.isSettled) this.#deliver(message)
  }

  #deliver (message: Published): void {
    const channel = this.#channel
    const origin = new MemoryMessage(message.deliveries++ > 0, channel)
    this.instance.deliver(message.id, message.userId, origin).then(
      () => { if (!channel.signal.aborted) message.isSettled = true },
      () => {} // abandoned: it was delivered again
    )
  }
}

interface World {
  /** What happened, for a failure. */
  readonly story: string[]
  readonly queues: Queue[]
  readonly instances: MemoryInstance[]
  readonly store: MemoryStore | undefined
  /** All connections that there were, with those that are open. */
  readonly connections: MemorySubscriber[]
  readonly open: Map<MemorySubscriber, MemoryInstance>
}

function createWorld (random: Random): World {
  const store = random.between(0, 1) === 1 ? new MemoryStore() : undefined
  const exchange = random.between(0, 1) === 1 ? new MemoryExchange() : undefined
  const options = {
    settle: random.oneOf(['sent', 'acknowledged'] as const),
    offline: store === undefined ? 'drop' as const : 'hold' as const,
    maxUnacked: random.between(1, 3),
    dismiss: random.between(0, 1) === 1
  }
  const instances = Array.from({ length: exchange === undefined ? 1 : 2 }, () => startInstance(options, {
    ...(store && { store }), ...(exchange && { exchange })
  }))
  return { story: [JSON.stringify({ ...options, instances: instances.length })], store, instances, queues: instances.map((instance, n) => new Queue(n, instance)), connections: [], open: new Map() }
}

function connect ({ story, instances, connections, open }: World, instance: MemoryInstance, userId: string, acknowledges: boolean): MemorySubscriber {
  const subscriber = instance.connect(userId, acknowledges)
  story.push(`${subscriber.id} of ${userId} ${acknowledges ? 'acknowledges' : 'is plain'}, at instance ${instances.indexOf(instance)}`)
  connections.push(subscriber)
  open.set(subscriber, instance)
  return subscriber
}

function disconnect ({ story, open }: World, subscriber: MemorySubscriber): void {
  story.push(`${subscriber.id} leaves with ${subscriber.sent.length} sent, ${subscriber.unackedCount} unacknowledged`)
  const instance = open.get(subscriber)!
  open.delete(subscriber)
  instance.disconnect(subscriber)
}

/** Acknowledges some of what a connection has not acknowledged yet. */
function acknowledge ({ story, open }: World, subscriber: MemorySubscriber, random: Random): void {
  const ids = subscriber.sent.map(({ id }) => id).filter(() => random.between(0, 2) > 0)
  if (!subscriber.acknowledges || ids.length === 0) return
  story.push(`${subscriber.id} acknowledges ${ids.join()}`)
  open.get(subscriber)!.dispatcher.acknowledged(subscriber, ids)
}

async function takeStep (world: World, random: Random): Promise<void> {
  const { story, queues, instances, store, open } = world
  const subscriber = open.size === 0 ? undefined : random.oneOf([...open.keys()])
  switch (random.between(0, 9)) {
    case 0: case 1: case 2: {
      const queue = random.oneOf(queues)
      queue.publish(random.oneOf(USERS))
      story.push(`published ${queue.all.at(-1)!.id}`)
      return
    }
    case 3: connect(world, random.oneOf(instances), random.oneOf(USERS), random.between(0, 3) > 0); return
    case 4: return subscriber && disconnect(world, subscriber)
    case 5: case 6: return subscriber && acknowledge(world, subscriber, random)
    case 7: {
      const queue = random.oneOf(queues)
      story.push(`channel ${queue.name} is lost`)
      return queue.loseChannel()
    }
    case 8:
      story.push(store === undefined ? `${subscriber?.id} is congested, or not any more` : 'the store becomes slow, or quick again')
      if (store !== undefined) store.delay = random.between(0, 1) === 0 ? undefined : settleDown
      else if (subscriber !== undefined) subscriber.isCongested ? subscriber.relieve() : subscriber.isCongested = true
      return
    case 9:
      story.push('everything comes to rest')
      await settleDown()
  }
}

/** Everybody is there, reads and acknowledges, until nothing changes any more. */
async function finish (world: World): Promise<void> {
  const { queues, instances, store, open, connections } = world
  if (store !== undefined) store.delay = undefined
  for (const subscriber of open.keys()) subscriber.relieve()
  for (const userId of USERS) connect(world, instances[0]!, userId, true)
  const progress = () => connections.reduce((sum, { sent }) => sum + sent.length, 0) + queues.flatMap(({ all }) => all).filter(({ isSettled }) => isSettled).length
  for (let [quiet, before, rounds] = [0, -1, 0]; quiet < 10 && rounds < 1_000; rounds++) {
    for (const [subscriber, { dispatcher }] of open) {
      if (subscriber.acknowledges) dispatcher.acknowledged(subscriber, subscriber.sent.map(({ id }) => id))
    }
    await settleDown()
    const now = progress()
    quiet = now === before ? quiet + 1 : 0
    before = now
  }
}

/** What must hold, in words; empty where it does. */
function violations ({ queues, connections, store }: World): string[] {
  const found: string[] = []
  const published = queues.flatMap(({ all }) => all)
  const received = new Set(connections.flatMap(({ sent }) => sent.map(({ id }) => id)))
  for (const { id, isSettled } of published) {
    if (!isSettled) found.push(`${id} was not settled`)
    if (store !== undefined && !received.has(id)) found.push(`${id} was lost`)
  }
  for (const { instance, all } of queues) {
    for (const { id, deliveries } of all) {
      const outcomes = instance.outcomes.get(id) ?? []
      if (outcomes.length > deliveries) found.push(`${id} was settled ${outcomes.length} times, delivered ${deliveries} times: ${outcomes.join()}`)
    }
  }
  // The exchange in memory asks again and again, and does not keep the order: the real one has tests of its own.
  if (queues.length > 1) return found
  for (const { id: connection, sent } of connections) {
    const seen = new Set<string>()
    const latest = new Map<Queue, number>()
    for (const { id, redelivered } of sent) {
      if (seen.has(id) && !redelivered) found.push(`${connection} got ${id} twice, unmarked`)
      seen.add(id)
      if (redelivered) continue
      const queue = queues.find(({ all }) => all.some(message => message.id === id))!
      const number = queue.all.findIndex(message => message.id === id)
      if (number < (latest.get(queue) ?? -1)) found.push(`${connection} got ${id} out of order`)
      latest.set(queue, number)
    }
  }
  return found
}

async function runSchedules (t: Test, count: number): Promise<void> {
  const random = createRandom(t)
  // Positions are times: with a clock of its own a schedule can be had again by its seed.
  let now = Date.now()
  const clock = t.capture(Date, 'now', () => now)
  t.teardown(() => clock.restore())
  for (let schedule = 0; schedule < count; schedule++) {
    const own = random.fork()
    const world = createWorld(own)
    for (let steps = own.between(5, 40); steps > 0; steps--) {
      now += own.between(0, 1)
      await takeStep(world, own)
    }
    await finish(world)
    const found = violations(world)
    if (found.length > 0) {
      t.comment(world.story.join('\n'))
      t.same(found, [], `schedule ${schedule}`)
      return
    }
  }
  t.pass(`${count} schedules`)
}

test('whatever happens in which order, nothing is lost, repeated unmarked, out of order or settled twice', async t => {
  await runSchedules(t, Number(process.env.SCHEDULES ?? 3_000))
})
