import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { test } from 'tap'
import { connectTo } from '../support/broker.js'
import { eventually } from '../support/eventually.js'
import { startNumberedPublisher } from '../support/numbered-publisher.js'
import { startBroker } from '../support/private-broker.js'
import { createRandom, type Random } from '../support/random.js'
import { usePrivateRedis } from '../support/redis.js'
import { startRestartableApp } from '../support/restartable-app.js'
import { Sightings, type Outage, type Sighting } from '../support/sightings.js'
import { startWanderer } from '../support/wanderer.js'

const USERS = 200
const COUNT = 20_000
const RATE = 450 // a second
const BURST = 25 // for one user in a row, at most: more than a connection may have unacknowledged

/** What is struck at a time. Everything twice at least, and in company. */
const STRIKES = [
  ['app terminated'], ['app killed'], ['broker killed'], ['redis killed'],
  ['app terminated', 'redis killed'], ['app killed', 'redis killed'], ['app killed', 'broker killed'], ['broker killed', 'redis killed']
] as const

/** For whom each number is: in bursts. */
function addressees ({ between }: Random): number[] {
  const users: number[] = []
  while (users.length < COUNT) users.push(...Array<number>(between(1, BURST)).fill(between(0, USERS - 1)))
  return users.slice(0, COUNT)
}

test('fault 50: whatever goes, and however clients come and go, each notification is handled, once, in order', { timeout: 600_000 }, async t => {
  const began = Date.now()
  const random = createRandom(t)
  const [node, redis] = await Promise.all([startBroker(t), usePrivateRedis(t)])
  const broker = await connectTo(t, node.url)
  const queue = 'hello'
  // Before the application starts, which takes longer than RabbitMQ to remember a quorum queue for good.
  for (const name of [queue, `${queue}.dead`]) await broker.channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  const app = await startRestartableApp(t, node.url, queue, redis.url)
  await app.ready()

  const events = new Map<string, number>()
  const problems: string[] = []
  const count = (event: string) => { events.set(event, (events.get(event) ?? 0) + 1) }
  const userOf = addressees(random.fork())
  const sightings = new Sightings(USERS, userOf)
  const wanderers = Array.from({ length: USERS }, (_, user) => startWanderer({
    user, url: () => app.notifications(`user-${user}`), random: random.fork(), sightings, count, onProblem: problem => problems.push(problem)
  }))
  const closeAll = () => Promise.all(wanderers.map(wanderer => wanderer.close()))
  t.teardown(closeAll)
  // An id may be in the message, or among its properties.
  const publisher = startNumberedPublisher({
    url: node.url,
    queue,
    count: COUNT,
    rate: RATE,
    bodyOf: number => ({ userId: `user-${userOf[number]}`, content: number, ...number % 2 === 0 && { id: `n-${number}` } }),
    messageIdOf: number => number % 2 === 0 ? undefined : `n-${number}`
  })
  t.teardown(() => publisher.stop())

  /** When something went that had messages on their way. What is newer does not wait for what is in a Redis that can't be reached. */
  const outages: Outage[] = []
  async function outage (end: () => Promise<unknown>): Promise<void> {
    const from = Date.now()
    await end()
    outages.push({ from, to: Date.now() })
  }
  const faults: Record<(typeof STRIKES)[number][number], () => Promise<unknown>> = {
    async 'app terminated' () {
      await outage(async () => t.equal(await app.terminate(), 0, 'the application ended by itself'))
      await app.start()
    },
    async 'app killed' () {
      await outage(app.kill)
      await app.start()
    },
    async 'broker killed' () {
      await outage(node.kill)
      await node.start()
    },
    async 'redis killed' () {
      await outage(async () => {
        await redis.kill()
        await delay(random.between(0, 1_500))
        await redis.start()
      })
    }
  }
  const order = STRIKES.map(strike => ({ strike, turn: random.between(0, 1_000) })).sort((a, b) => a.turn - b.turn)
  for (const [turn, { strike }] of order.entries()) {
    const point = Math.floor(COUNT * (turn + 0.5 + random.between(0, 40) / 100) / (STRIKES.length + 1))
    await eventually(() => publisher.confirmed.size >= point, `${point} messages confirmed`)
    const from = Date.now()
    await Promise.all(strike.map(name => {
      count(name)
      return faults[name]()
    }))
    await app.ready()
    t.comment(`${Math.round((from - began) / 1_000)} s: ${strike.join(', ')}; ready again after ${Date.now() - from} ms`)
  }
  await publisher.finished
  await Promise.all(wanderers.map(wanderer => wanderer.settle()))
  await eventually(() => sightings.missing(COUNT).length === 0, 'all have been handled').catch(() => {}) // told below

  t.equal(publisher.confirmed.size, COUNT, 'all are confirmed')
  t.same(sightings.missing(COUNT), [], 'none is lost')
  t.same(sightings.strays, [], "nobody sees another's")
  t.same(sightings.twice, [], 'no client handles one twice')
  t.same(problems, [], 'no client ended by itself, or was told of an error')
  // One that was published twice is another message to the broker each time.
  const once = (number: number) => !publisher.repeated.has(number)
  t.same(sightings.unmarked.filter(once), [], 'what comes again says so')

  // Late is only what was on its way when a connection, the application or the broker went, and was delivered again.
  const isExcused = (sighting: Sighting) => {
    const publishedAt = publisher.publishedAt[sighting.number]!
    return outages.some(({ from, to }) => publishedAt <= to && sighting.at >= from) || sightings.wasDisconnected(sighting, publishedAt)
  }
  const firsts = sightings.all().filter(({ number }) => once(number))
  const late = firsts.filter(({ isLate }) => isLate)
  t.same(late.filter(({ redelivered }) => !redelivered), [], 'what comes for the first time is in order')
  const unexcused = late.filter(sighting => !isExcused(sighting)).map(sighting => ({ ...sighting, publishedAt: publisher.publishedAt[sighting.number] }))
  t.same(unexcused, [], 'what comes again is late only where something went while it was on its way')
  if (unexcused.length > 0) t.comment('outages', outages, unexcused.map(({ user }) => sightings.disconnections(user)))

  await eventually(async () => (await app.figures()).health.unsettled === 0, 'everything is settled')
  const client = new Redis(redis.url)
  t.teardown(() => client.disconnect())
  await eventually(async () => await client.dbsize() === 0, 'the hold is empty')
  await closeAll()
  t.equal(await app.terminate(), 0, 'the application ended by itself')
  const after = await connectTo(t, node.url)
  for (const name of [queue, `${queue}.dead`]) t.equal((await after.channel.checkQueue(name)).messageCount, 0, `${name} is empty`)

  const strict = firsts.filter(sighting => !isExcused(sighting))
  t.comment(`${publisher.publishedAt.length} published, ${publisher.confirmed.size} confirmed, ${publisher.repeated.size} of them published again`)
  t.comment(`${sightings.all().length} seen, ${sightings.again} handler calls again, ${sightings.redelivered} redelivered, ${late.length} late`)
  t.comment(`${strict.length} had to be in order, ${strict.filter(({ redelivered }) => redelivered).length} of them held`)
  t.comment([...events].sort().map(([event, times]) => `${event}: ${times}`).join(', '))
  t.comment(`${Math.round((Date.now() - began) / 1_000)} s`)
})
