import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { before, t as file, test, type Test } from 'tap'
import type { PrivateRabbitMQ } from '../../support/private-rabbitmq.js'
import { connectTo, type TestBroker } from '../support/broker.js'
import { allSettled, startInstance } from '../support/cluster.js'
import { eventually } from '../support/eventually.js'
import { startNumberedPublisher } from '../support/numbered-publisher.js'
import { startBroker } from '../support/private-broker.js'
import { createRandom, type Random } from '../support/random.js'
import { usePrivateRedis } from '../support/redis.js'
import type { RestartableApp } from '../support/restartable-app.js'
import { startRoamers, type Roamers } from '../support/roamers.js'
import { Sightings } from '../support/sightings.js'
import { startWanderer } from '../support/wanderer.js'

const QUEUE = 'hello'
const USERS = 40
const RATE = 300 // a second
const PREFETCH = 100

let node: PrivateRabbitMQ
let broker: TestBroker
let redis: Redis
let instances: RestartableApp[]

before(async () => {
  const [started, { url: redisUrl }] = await Promise.all([startBroker(file), usePrivateRedis(file)])
  node = started
  broker = await connectTo(file, node.url)
  redis = new Redis(redisUrl)
  file.teardown(() => redis.disconnect())
  instances = await Promise.all([1, 2, 3].map(() => startInstance(file, {
    amqpUrl: node.url, queue: QUEUE, redisUrl, prefetch: PREFETCH, hold: { redis: redisUrl, maxCount: 10_000 }
  })))
})

/** Publishes to the users of roamers while something happens, and looks what they were given. */
async function runLoad (t: Test, count: number, happen: (random: Random) => Promise<unknown>): Promise<Roamers> {
  const random = createRandom(t)
  const roamers = await startRoamers(t, USERS, instances, random.fork())
  const publisher = startNumberedPublisher({
    url: node.url,
    queue: QUEUE,
    count,
    rate: RATE,
    bodyOf: number => ({ userId: `user-${number % USERS}`, content: number, id: `${t.name}-${number}` }),
    messageIdOf: () => undefined
  })
  t.teardown(() => publisher.stop())
  await eventually(() => publisher.confirmed.size > RATE, 'under load')
  await happen(random)
  await publisher.finished
  await eventually(() => roamers.problems(count).missing.length === 0, 'all have arrived').catch(() => {}) // told below
  t.comment(`${publisher.repeated.size} published again, ${roamers.again} seen again, ${roamers.unmarked} of them without a word of it`)
  t.same(roamers.problems(count), { missing: [], wrong: [] }, 'each notification was handled, once')
  await nothingLeft(t)
  await roamers.close()
  return roamers
}

/** Everything is settled, and gone from the queue and the hold. */
async function nothingLeft (t: Test): Promise<void> {
  await allSettled(...instances)
  await eventually(async () => await redis.dbsize() === 0, 'the hold is empty')
  for (const queue of [QUEUE, `${QUEUE}.dead`]) t.equal((await broker.channel.checkQueue(queue)).messageCount, 0, `${queue} is empty`)
}

test('fault 45: a rolling restart: nothing is lost, and hardly anything is seen again', { timeout: 400_000 }, async t => {
  const { again } = await runLoad(t, 4_000, async () => {
    for (const instance of instances) {
      const began = Date.now()
      t.equal(await instance.terminate(), 0, 'it ended by itself')
      t.comment(`ended after ${Date.now() - began} ms`)
      await instance.start()
      await instance.ready()
    }
  })
  t.ok(again <= instances.length * PREFETCH, `${again} seen again, of ${PREFETCH} in flight each time`)
})

test('fault 47: a memory alarm: nothing is lost', { timeout: 400_000 }, async t => {
  await runLoad(t, 1_500, async () => {
    // The publisher stops at the alarm. So that something is left to take then, the instances take nothing before it.
    for (const instance of instances) instance.freeze()
    await eventually(async () => (await broker.channel.checkQueue(QUEUE)).messageCount > 0, 'more was published than an instance takes')
    await node.ctl('set_vm_memory_high_watermark', '0.00001')
    for (const instance of instances) instance.goOn()
    await eventually(async () => {
      const figures = await Promise.all(instances.map(instance => instance.figures()))
      return figures.some(({ health }) => health.unsettled > 0)
    }, 'what was taken can not be relayed')
    await delay(2_000) // so long it lasts
    await node.ctl('set_vm_memory_high_watermark', '0.6')
  })
})

test('fault 51: instances are restarted and killed, and clients come and go: each notification is handled, once', { timeout: 400_000 }, async t => {
  const random = createRandom(t)
  const count = 4_000
  const userOf = Array.from({ length: count }, () => random.between(0, USERS - 1))
  const sightings = new Sightings(USERS, userOf)
  const problems: string[] = []
  const urls = random.fork()
  const wanderers = Array.from({ length: USERS }, (_, user) => startWanderer({
    user,
    url: () => urls.oneOf(instances).notifications(`user-${user}`),
    random: random.fork(),
    sightings,
    count () {},
    onProblem: problem => problems.push(problem)
  }))
  const closeAll = () => Promise.all(wanderers.map(wanderer => wanderer.close()))
  t.teardown(closeAll)
  const publisher = startNumberedPublisher({
    url: node.url,
    queue: QUEUE,
    count,
    rate: RATE,
    bodyOf: number => ({ userId: `user-${userOf[number]}`, content: number, ...number % 2 === 0 && { id: `n-${number}` } }),
    messageIdOf: number => number % 2 === 0 ? undefined : `n-${number}`
  })
  t.teardown(() => publisher.stop())
  const killed = random.between(0, instances.length - 1)
  await eventually(() => publisher.confirmed.size > RATE, 'under load')
  for (const [n, instance] of instances.entries()) {
    if (n === killed) await instance.kill()
    else t.equal(await instance.terminate(), 0, 'it ended by itself')
    await instance.start()
    await instance.ready()
  }
  await publisher.finished
  await Promise.all(wanderers.map(wanderer => wanderer.settle()))
  await eventually(() => sightings.missing(count).length === 0, 'all have been handled').catch(() => {}) // told below
  t.comment(`${sightings.again} handler calls again, ${sightings.redelivered} redelivered`)
  t.same(sightings.missing(count), [], 'none is lost')
  t.same(sightings.strays, [], "nobody sees another's")
  t.same(sightings.twice, [], 'no client handles one twice')
  t.same(sightings.unmarked.filter(number => !publisher.repeated.has(number)), [], 'what comes again says so')
  t.same(problems, [], 'no client ended by itself, or was told of an error')
  await nothingLeft(t)
  await closeAll()
  t.same(await Promise.all(instances.map(instance => instance.terminate())), [0, 0, 0], 'all end by themselves')
})
