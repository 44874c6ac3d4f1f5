import { before, t as file, test } from 'tap'
import { startPrivateRabbitMQCluster, type PrivateRabbitMQCluster } from '../../support/private-rabbitmq-cluster.js'
import { startApp, type TestApp } from '../support/app.js'
import { connectTo } from '../support/broker.js'
import { allSettled, startInstance } from '../support/cluster.js'
import { eventually } from '../support/eventually.js'
import { startNumberedPublisher } from '../support/numbered-publisher.js'
import { createRandom } from '../support/random.js'
import { usePrivateRedis } from '../support/redis.js'
import { connectRich } from '../support/rich-client.js'
import { startRoamers } from '../support/roamers.js'

const QUEUE = 'hello'
const USERS = 40
const COUNT = 5_000
const RATE = 300 // a second

let cluster: PrivateRabbitMQCluster
before(async () => { cluster = await startPrivateRabbitMQCluster() })
file.teardown(() => cluster.remove())

test('each of 2,000 users, right after the welcome, is reached through another instance on another node', { timeout: 600_000 }, async t => {
  const { nodes } = cluster
  const users = 2_000
  const together = 40
  const broker = await connectTo(t, nodes[0]!.url)
  await broker.channel.assertQueue('welcomes', { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  const apps: TestApp[] = []
  for (const { url } of nodes) apps.push(await startApp(t, { amqpUrl: url, queue: 'welcomes', cluster: true }))
  const outcomes: Record<string, number> = {}
  let next = 0
  async function connectAndNotify (): Promise<void> {
    for (let user = next++; user < users; user = next++) {
      const client = await connectRich(t, apps[user % 3]!.notifications(`user-${user}`)) // resolves with the welcome
      const { outcome } = await apps[(user + 1) % 3]!.app.notifier.notify(`user-${user}`, 'hi')
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
      await client.close()
    }
  }
  await Promise.all(Array.from({ length: together }, connectAndNotify))
  t.same(outcomes, { sent: users })
})

test('fault 48: nodes of the broker are killed and come back: nothing is lost', { timeout: 600_000 }, async t => {
  const { nodes } = cluster
  const random = createRandom(t)
  const broker = await connectTo(t, nodes[0]!.url)
  // Before the instances start, which takes longer than RabbitMQ to remember a quorum queue for good.
  for (const name of [QUEUE, `${QUEUE}.dead`]) await broker.channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  const { url: redisUrl } = await usePrivateRedis(t)
  const instances = await Promise.all(nodes.map(node => startInstance(t, {
    amqpUrl: node.url, queue: QUEUE, redisUrl, prefetch: 100, hold: { redis: redisUrl, maxCount: 10_000 }
  })))
  const roamers = await startRoamers(t, USERS, instances, random)

  const queues = JSON.parse(await nodes[0]!.ctl('list_queues', '--formatter', 'json', 'name', 'leader')) as Array<{ name: string, leader: string }>
  const { leader } = queues.find(({ name }) => name === QUEUE)!
  const victims = [nodes.find(({ name }) => name === leader)!, random.oneOf(nodes.filter(({ name }) => name !== leader))]
  const spared = nodes.find(node => !victims.includes(node))!
  const publisher = startNumberedPublisher({
    url: spared.url,
    queue: QUEUE,
    count: COUNT,
    rate: RATE,
    bodyOf: number => ({ userId: `user-${number % USERS}`, content: number, id: `n-${number}` }),
    messageIdOf: () => undefined
  })
  t.teardown(() => publisher.stop())

  for (const [n, victim] of victims.entries()) {
    const point = publisher.confirmed.size + RATE
    await eventually(() => publisher.confirmed.size > point, 'under load')
    const instance = instances[nodes.indexOf(victim)]!
    const began = Date.now()
    await victim.kill()
    await eventually(async () => !(await instance.figures()).health.ready, 'its instance has lost it')
    await victim.start()
    await instance.ready()
    t.comment(`${n === 0 ? 'the leader' : 'another one'} was away for ${Date.now() - began} ms`)
  }
  await publisher.finished
  await eventually(() => roamers.problems(COUNT).missing.length === 0, 'all have arrived').catch(() => {}) // told below
  t.comment(`${publisher.repeated.size} published again, ${roamers.again} seen again, ${roamers.unmarked} of them without a word of it`)
  t.same(roamers.problems(COUNT), { missing: [], wrong: [] }, 'each notification was handled, once')
  await allSettled(...instances)
  t.same(await Promise.all(instances.map(instance => instance.terminate())), [0, 0, 0], 'all end by themselves')
  const after = await connectTo(t, spared.url)
  t.same(await Promise.all([QUEUE, `${QUEUE}.dead`].map(async name => (await after.channel.checkQueue(name)).messageCount)), [0, 0], 'the queues are empty')
})
