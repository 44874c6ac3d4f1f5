import { test } from 'tap'
import { startApp } from '../support/app.js'
import { connectTo, useBroker } from '../support/broker.js'
import { connectClient } from '../support/client.js'
import { eventually } from '../support/eventually.js'
import { ackOfNothing } from '../support/frames.js'
import { startBroker } from '../support/private-broker.js'
import { startProxy } from '../support/proxy.js'
import { createRandom } from '../support/random.js'

const reconnect = { initialDelay: 10, maxDelay: 100 }

test('fault 5: the connection is lost while the topology is being declared, at any step of it', { timeout: 400_000 }, async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const proxy = await startProxy(t, broker.url)
  const random = createRandom(t)
  const { app, notifications } = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, reconnect, startup: 'background' })
  await eventually(() => app.notifier.health().ready, 'ready')
  const client = await connectClient(t, notifications('123'))

  // Reset after so many bytes from the broker: all the set-up is within 1,000.
  for (let bytes = 1; bytes < 1_000; bytes += random.between(10, 40)) {
    const before = proxy.accepted
    proxy.resetAfter(bytes)
    proxy.reset()
    await eventually(() => !app.notifier.health().ready, 'lost')
    // At more bytes than a set-up takes, it comes through.
    await eventually(() => proxy.accepted >= before + 4 || app.notifier.health().ready, `tries again after a reset at byte ${bytes}`)
  }
  proxy.resetAfter(undefined)
  await eventually(() => app.notifier.health().ready, 'ready again')
  await broker.publish(queue, { userId: '123', content: 'hello' })
  t.same(await client.received(1), ['hello'])
})

test('fault 6: a channel that the broker closes is built again, on the same connection', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const proxy = await startProxy(t, broker.url)
  const { app, notifications, log } = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, reconnect })
  const client = await connectClient(t, notifications('123'))
  const connected = proxy.accepted

  for (let times = 1; times <= 3; times++) {
    for (const purpose of ['consumer', 'publisher'] as const) {
      const { length } = log.lines
      proxy.inject(ackOfNothing, purpose)
      await eventually(() => log.lines.slice(length).some(({ msg }) => msg === `broker ${purpose} open`), `the ${purpose} is back`)
      const lost = log.lines.slice(length).find(({ msg }) => msg === `broker ${purpose} connecting`)
      t.match(lost, { level: 40, err: { message: /PRECONDITION_FAILED/ } })
    }
    await broker.publish(queue, { userId: '123', content: times }, 'nonsense')
    // What is not acked yet when the next channel dies comes twice.
    await eventually(() => client.messages.includes(String(times)), 'delivered')
    await eventually(async () => (await broker.channel.checkQueue(`${queue}.dead`)).messageCount >= times, 'dead-lettered')
  }
  t.equal(proxy.accepted, connected)
  t.ok(app.notifier.health().ready)
})

test('fault 7: a dead letter confirmed after its channel died settles nothing on the next', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue)
  const proxy = await startProxy(t, broker.url)
  const { app, notifications, log } = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, reconnect, publishTimeout: 60_000 })
  const client = await connectClient(t, notifications('123'))

  proxy.blackhole('publisher')
  await broker.publish(queue, 'nonsense', { userId: '123', content: 'behind it' })
  await client.received(1)
  t.equal(app.notifier.health().unsettled, 1)
  proxy.reset('consumer')
  await client.received(2) // both were delivered again
  t.equal(app.notifier.health().unsettled, 1)

  proxy.forward()
  await log.line('message dead-lettered')
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  t.ok(app.notifier.stats().abandoned <= 1)
  await app.close()
  t.equal((await broker.channel.checkQueue(queue)).messageCount, 0)
  const letters = await broker.takeAll(`${queue}.dead`)
  t.ok(letters.length >= 1 && letters.length <= 2, `${letters.length} dead letters of one message that was delivered twice`)
})

test('fault 8: a queue that is deleted is declared and consumed again', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, log, notifications } = await startApp(t, { amqpUrl: broker.url, queue, reconnect })
  const client = await connectClient(t, notifications('123'))
  for (let times = 1; times <= 3; times++) {
    const { length } = log.lines
    await broker.channel.deleteQueue(queue)
    await eventually(() => log.lines.slice(length).some(({ msg }) => msg === 'broker consumer open'), 'consuming again')
    t.match(log.lines.slice(length).find(({ msg }) => msg === 'consumer cancelled by the broker'), { level: 40, queue })
    await broker.publish(queue, { userId: '123', content: times })
    await eventually(() => client.messages.includes(String(times)), 'delivered')
  }
  t.ok(app.notifier.health().ready)
})

test('a dead-letter queue that is deleted is declared again, and no dead letter is lost', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, log } = await startApp(t, { amqpUrl: broker.url, queue, reconnect })
  await broker.channel.deleteQueue(`${queue}.dead`)
  await broker.publish(queue, 'nonsense')
  await log.line('message dead-lettered')
  t.match(await log.line('dead letters cannot be published'), { level: 40, err: { code: 'FST_NOTIFICATION_PUBLISH_FAILED', message: /there is no such queue/ } })
  await log.line('dead letters can be published again')
  t.equal((await broker.takeAll(`${queue}.dead`)).length, 1)
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
})

test('fault 52: the broker reads nothing more of a publisher, as a queue went under its load: nothing stops', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const proxy = await startProxy(t, broker.url)
  const { app } = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, reconnect, publishTimeout: 1_000 })
  for (let times = 0; times < 4; times++) {
    proxy.blackhole('publisher')
    // More than the credit of a publisher, which RabbitMQ 3.10 doesn't give back where the queue has gone.
    await broker.publish(queue, ...Array(1_000).fill('nonsense'))
    await eventually(() => app.notifier.health().unsettled === 1_000, 'on their way')
    proxy.forward()
    await broker.channel.deleteQueue(`${queue}.dead`)
    await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  }
})

test('while a dead letter is refused, its message stays with the broker, and is not lost with the process', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(`${queue}.dead`, { maxLength: 0, overflow: 'reject-publish' })
  const { app, log, notifications } = await startApp(t, { amqpUrl: broker.url, queue, reconnect, prefetch: 5, drainTimeout: 100 })
  const client = await connectClient(t, notifications('123'))
  await broker.publish(queue, 'bad 1', { userId: '123', content: 'good' }, 'bad 2')
  await log.line('dead letters cannot be published')
  t.same(await client.received(1), ['good'], 'the others are delivered')
  await eventually(() => app.notifier.health().unsettled === 2, 'both bad ones wait')
  await eventually(() => app.notifier.health().state === 'dead-letters-failing', 'the state says so')

  await broker.publish(queue, ...Array.from({ length: 10 }, (_, n) => `bad ${n + 3}`), { userId: '123', content: 'last' })
  await eventually(() => app.notifier.health().unsettled === 5, 'the window is full')
  t.match(app.notifier.health(), { ready: false }, 'and nothing more is consumed')
  t.ok(log.lines.filter(({ msg }) => msg === 'dead letters cannot be published').length === 1, 'one line for it')

  await app.close()
  await eventually(async () => (await broker.channel.checkQueue(queue)).messageCount === 13, 'all but the good one are still there')
})

test('fault 8: a queue that is deleted in mid-stream, with dead letters on their way', async t => {
  const broker = await useBroker(t)
  for (let times = 0; times < 10; times++) {
    const queue = broker.queueName()
    const { app, log, notifications } = await startApp(t, { amqpUrl: broker.url, queue, reconnect })
    const client = await connectClient(t, notifications('123'))
    // More than 400 would use up the publisher's credit, which RabbitMQ 3.10 doesn't give back where the queue has gone.
    const bodies = Array.from({ length: 350 }, (_, n) => n % 10 === 0 ? 'nonsense' : { userId: '123', content: n })
    const publisher = await connectTo(t, broker.url)
    const published = publisher.publish(queue, ...bodies)
    await client.received(20)
    await broker.channel.deleteQueue(queue)
    await published
    await log.line('consumer cancelled by the broker')
    await eventually(() => app.notifier.health().ready, 'ready again')
    await broker.publish(queue, { userId: '123', content: 'last' })
    await eventually(() => client.messages.includes('last'), 'delivered')
  }
})

test('a connection that dies while the dead-letter queue is declared again leaves no dead letter behind', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const proxy = await startProxy(t, broker.url)
  const { app, log } = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, reconnect })
  for (let times = 1; times <= 10; times++) {
    await broker.channel.deleteQueue(`${queue}.dead`)
    const { length } = log.lines
    await broker.publish(queue, 'nonsense')
    await eventually(() => log.lines.slice(length).some(({ msg }) => msg === 'dead letters cannot be published'), 'refused')
    for (let n = 0; n < times; n++) await new Promise(resolve => setImmediate(resolve))
    proxy.reset('publisher')
    await eventually(() => app.notifier.health().unsettled === 0 && app.notifier.health().ready, 'settled')
  }
})

test('while the queue may not be declared, channels are not used up, and consuming resumes when it may', async t => {
  const node = await startBroker(t)
  const broker = await connectTo(t, node.url)
  const { app, log, notifications } = await startApp(t, { amqpUrl: node.url, queue: 'hello', reconnect: { initialDelay: 1, maxDelay: 5 } })
  const client = await connectClient(t, notifications('123'))
  await node.ctl('set_permissions', 'guest', 'nothing', '.*', '.*')
  await broker.channel.deleteQueue('hello').catch(() => {}) // the test's own channel may not either
  await node.ctl('delete_queue', 'hello').catch(() => {})
  await log.line('consumer cancelled by the broker')
  await eventually(() => /ACCESS_REFUSED/.test(app.notifier.health().lastError?.message ?? ''), 'refused')
  const channels = async () => (await node.ctl('list_channels', '--silent', 'pid')).trim().split('\n').length
  t.ok(await channels() < 10, 'tried some hundred times by now')

  await node.ctl('set_permissions', 'guest', '.*', '.*', '.*')
  await eventually(() => app.notifier.health().ready, 'ready')
  const publisher = await connectTo(t, node.url)
  await publisher.publish('hello', { userId: '123', content: 'hello' })
  t.same(await client.received(1), ['hello'])
})
