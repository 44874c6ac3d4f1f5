// Who is where: users who move, instances that come, freeze and lose the broker, and a broker that takes no publishes.
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import { startApp, type TestApp } from '../support/app.js'
import { connectTo as connectToBroker, useBroker } from '../support/broker.js'
import { allSettled, connectAcking, contents, startInstance } from '../support/cluster.js'
import { eventually } from '../support/eventually.js'
import { connectTo, numbers, startInstances } from '../support/instances.js'
import { startBroker } from '../support/private-broker.js'
import { createRandom } from '../support/random.js'
import { usePrivateRedis } from '../support/redis.js'
import { connectRich } from '../support/rich-client.js'

test('a user who moves between three instances while 2,000 messages come: none is lost, and each connection gets each once, in order', { timeout: 400_000 }, async t => {
  const { broker, queue, apps } = await startInstances(t, 3, { settle: 'acknowledged', offline: 'dead-letter' })
  const random = createRandom(t)
  const wanted = numbers(2_000)
  const published = { isOver: false }
  async function publish (): Promise<void> {
    for (let n = 0; n < wanted.length; n += 10) {
      await broker.publish(queue, ...wanted.slice(n, n + 10).map(content => ({ userId: '123', content, id: content })))
      await delay(5) // so that the user moves while messages come
    }
    published.isOver = true
  }
  const clients = [await connectAcking(t, apps[0]!.notifications('123'))]
  const publishing = publish()
  for (let at = 0; !published.isOver;) {
    at = (at + random.between(1, 2)) % 3
    const last = clients.at(-1)!
    const next = await connectAcking(t, apps[at]!.notifications('123'))
    clients.push(next)
    const until = next.frames.length + random.between(1, 100)
    await eventually(() => next.frames.length >= until || published.isOver, 'handed out')
    await last.close()
  }
  await publishing
  await eventually(() => apps.every(({ app }) => app.notifier.health().unsettled === 0), 'all settled')
  t.comment(`${clients.length - 1} moves, ${clients.flatMap(({ frames }) => frames).filter(({ redelivered }) => redelivered === true).length} marked as redelivered`)
  for (const { frames } of clients) {
    const got = frames.filter(({ type }) => type === 'notification')
    t.equal(new Set(got.map(({ id }) => id)).size, got.length, 'each once')
    const unmarked = got.filter(({ redelivered }) => redelivered !== true).map(({ content }) => Number(content))
    t.same(unmarked, unmarked.toSorted((a, b) => a - b), 'in order')
  }
  const all = new Set(contents(...clients))
  t.same(wanted.filter(content => !all.has(content)), [], 'none is lost')
  t.equal((await broker.channel.checkQueue(`${queue}.dead`)).messageCount, 0, 'the user was never offline')
  t.equal(apps.filter(({ app }) => app.notifier.health().state === 'standby').length, 2, 'one takes, the others are on standby')
})

test('an instance that is frozen for 20 seconds: what its users miss is held, and comes when it goes on', { timeout: 400_000 }, async t => {
  const [broker, { url: redisUrl }] = await Promise.all([useBroker(t), usePrivateRedis(t)])
  const [queue, other] = [broker.queueName(), broker.queueName()]
  const exchange = `${queue}.relay`
  t.teardown(() => broker.channel.deleteExchange(exchange))
  const common = {
    amqpUrl: broker.url, redisUrl, hold: { redis: redisUrl }, heartbeat: { interval: 60_000, timeout: 40_000 }, ackTimeout: 60_000, relay: { exchange }
  }
  const [taker, frozen] = await Promise.all([startInstance(t, { queue, ...common }), startInstance(t, { queue: other, ...common })])
  const client = await connectAcking(t, frozen.notifications('123'))
  const wanted = Array.from({ length: 200 }, (_, n) => n)
  await broker.publish(queue, ...wanted.slice(0, 100).map(content => ({ userId: '123', content })))
  await client.framesReceived(100)
  frozen.freeze()
  const thawed = delay(20_000).then(() => frozen.goOn()) // the fault lasts for a time
  await broker.publish(queue, ...wanted.slice(100).map(content => ({ userId: '123', content })))
  await thawed
  await eventually(() => new Set(contents(client)).size === 200, 'all have arrived, at the same connection')
  await allSettled(taker, frozen)
  const first = [...new Set(contents(client))]
  t.same(first, wanted, 'in order')
})

test('an instance that starts under load: its users get everything from their welcome on', { timeout: 400_000 }, async t => {
  const { broker, queue } = await startInstances(t, 1)
  let last = 0
  const ended = new AbortController()
  async function publish (): Promise<void> {
    while (!ended.signal.aborted) {
      await broker.publish(queue, ...numbers(20).map(n => ({ userId: `user-${n}`, content: last })))
      last++
    }
  }
  const published = publish()
  await eventually(() => last > 20, 'under load')
  const two = await startApp(t, { amqpUrl: broker.url, queue, cluster: true })
  const clients = await Promise.all(numbers(20).map(n => connectRich(t, two.notifications(`user-${n}`))))
  const welcomedAt = last + 1 // what is published from now on is taken after the welcome; `last` is on its way already
  await eventually(() => last > welcomedAt + 50, 'more load')
  ended.abort()
  await published
  for (const client of clients) {
    await eventually(() => client.frames.at(-1)?.content === last - 1, 'the last one has arrived')
    const got = contents(client) as number[]
    t.same(got.slice(got.indexOf(welcomedAt)), Array.from({ length: last - welcomedAt }, (_, n) => welcomedAt + n))
  }
})

test('a memory alarm: who connects is let in at once, and other instances reach them when it is over', { timeout: 400_000 }, async t => {
  const node = await startBroker(t)
  const broker = await connectToBroker(t, node.url)
  const options = { amqpUrl: node.url, queue: 'alarm', cluster: true }
  const apps: TestApp[] = []
  for (let n = 0; n < 2; n++) apps.push(await startApp(t, options))
  const [one, two] = apps as [TestApp, TestApp]
  await connectTo(t, two, 'before')
  await broker.publish('alarm', { userId: 'before', content: 'there' })
  await node.ctl('set_vm_memory_high_watermark', '0.00001')
  const client = await connectRich(t, two.notifications('123'))
  t.match(await two.app.notifier.notify('123', 'during the alarm'), { outcome: 'sent' })
  t.match(await client.framesReceived(1), [{ content: 'during the alarm' }])
  await node.ctl('set_vm_memory_high_watermark', '0.6')
  await eventually(async () => await one.app.notifier.isOnline('123').catch(() => false), 'announced')
  t.match(await one.app.notifier.notify('123', 'after the alarm'), { outcome: 'sent' })
  t.match(await client.framesReceived(2), [{}, { content: 'after the alarm' }])
})
