// The recipes of docs/recipes.md for operators, as they stand there.
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { test, type Test } from 'tap'
import { startApp } from './support/app.js'
import { connectTo, useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { startBroker } from './support/private-broker.js'
import { usePrivateRedis } from './support/redis.js'
import { connectRich } from './support/rich-client.js'

const run = promisify(execFile)
const page = await readFile(new URL('../docs/recipes.md', import.meta.url), 'utf8')

/** The blocks of code of a section. */
function blocksOf (heading: string, language: string): string[] {
  const section = page.split(`\n## ${heading}\n`)[1]!.split('\n## ')[0]!
  return [...section.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'gm'))].map(([, code]) => code!)
}

/** The arguments of the lines that run `rabbitmqctl`. */
function commandsOf (heading: string): string[][] {
  const lines = blocksOf(heading, 'sh').join('').split('\n').filter(line => line.startsWith('rabbitmqctl '))
  return lines.map(line => [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare!).slice(1))
}

async function replay (t: Test, env: NodeJS.ProcessEnv, ...reasons: string[]): Promise<string> {
  const program = join(t.testdir(), 'replay.mjs') // below this folder, where it finds amqplib
  await writeFile(program, blocksOf('Replaying dead letters', 'js')[0]!)
  return (await run(process.execPath, [program, ...reasons], { env: { ...process.env, ...env } })).stdout
}

test('the recipe for dead letters replays those of the given reasons, as they were, and leaves the others', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, log, notifications } = await startApp(t, { amqpUrl: broker.url, queue, offline: 'dead-letter' })
  await broker.publishWith({ messageId: 'm-1', headers: { 'x-mine': 'kept' } }, queue, { userId: '123', content: 'was away', id: 'a' })
  await broker.publish(queue, 'nonsense')
  await eventually(() => log.lines.filter(({ msg }) => msg === 'message dead-lettered').length + app.notifier.stats().deadLettered.offline >= 2, 'both are dead letters')
  await eventually(async () => (await broker.channel.checkQueue(`${queue}.dead`)).messageCount === 2, 'both are in the queue')

  const client = await connectClient(t, notifications('123'))
  t.equal(await replay(t, { AMQP_URL: broker.url, QUEUE: queue }, 'offline', 'rejected'), '1 of 2 dead letters replayed\n')
  t.same(await client.received(1), ['was away'])
  await eventually(async () => (await broker.channel.checkQueue(`${queue}.dead`)).messageCount === 1, 'the other one is there again')
  t.equal(await replay(t, { AMQP_URL: broker.url, QUEUE: queue }, 'offline'), '0 of 1 dead letters replayed\n')

  // As it arrives: a copy of what is replayed, in a queue that nobody consumes.
  await app.close()
  const [letter] = await broker.takeAll(`${queue}.dead`, 1)
  t.match(letter, { properties: { headers: { 'x-notification-reason': 'invalid-json' } } })
  await broker.publishWith({ messageId: 'm-2', headers: { 'x-mine': 'kept', 'x-notification-reason': 'offline', 'x-notification-queue': queue, 'x-notification-detail': 'x', 'x-first-death-reason': 'rejected' } }, `${queue}.dead`, { userId: '123', content: 'hi' })
  await broker.publishWith({ headers: { 'x-notification-reason': 'offline', 'x-notification-queue': 'another' } }, `${queue}.dead`, { userId: '123', content: 'hi' })
  broker.channel.sendToQueue(`${queue}.dead`, Buffer.from('by hand, without headers'))
  await broker.channel.waitForConfirms()
  t.equal(await replay(t, { AMQP_URL: broker.url, QUEUE: queue }, 'offline'), '1 of 3 dead letters replayed\n')
  const [replayed] = await broker.takeAll(queue, 1)
  t.match(replayed!.properties, { messageId: 'm-2', deliveryMode: 2 })
  t.same(Object.keys(replayed!.properties.headers!).filter(name => name !== 'x-delivery-count'), ['x-mine'])
})

test('the recipe for dead letters replays what has expired to the queue in which it did, by whomever it was published', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app } = await startApp(t, { amqpUrl: broker.url, queue })
  await app.close()
  const another = broker.queueName()
  await broker.channel.assertQueue(another, { arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': `${queue}.dead` } })
  await broker.channel.bindQueue(queue, 'amq.topic', queue)
  const isDead = async (count: number) => await eventually(async () => (await broker.channel.checkQueue(`${queue}.dead`)).messageCount === count, 'it has expired')
  await broker.publishWith({ expiration: '1' }, another, 'of the other queue')
  await isDead(1)
  const { username } = new URL(broker.url)
  broker.channel.publish('amq.topic', queue, Buffer.from('old'), { expiration: '1', userId: username || 'guest' })
  await isDead(2)
  t.equal(await replay(t, { AMQP_URL: broker.url, QUEUE: queue }, 'expired'), '1 of 2 dead letters replayed\n')
  const [replayed] = await broker.takeAll(queue, 1)
  t.equal(replayed!.content.toString(), 'old')
  t.match(replayed!, { fields: { routingKey: queue }, properties: { userId: undefined } }, 'RabbitMQ would refuse the login of somebody else')
  await isDead(1)
  t.equal(await replay(t, { AMQP_URL: broker.url, QUEUE: another, DEAD_LETTERS: `${queue}.dead` }, 'expired'), '1 of 1 dead letters replayed\n')
})

test('the recipe for dead letters replays them where decode looks at the routing key, and those of the own form too', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, {
    amqpUrl: broker.url,
    queue,
    offline: 'dead-letter',
    decode ({ json, routingKey }) {
      const { customers, content } = json() as { customers: string[], content: string }
      return routingKey === 'order.shipped' ? { ...(customers.length > 1 ? { userIds: customers } : { userId: customers[0]! }), content } : undefined
    }
  })
  await broker.channel.bindQueue(queue, 'amq.topic', 'order.*')
  const ship = (content: string, ...customers: string[]) => broker.channel.publish('amq.topic', 'order.shipped', Buffer.from(JSON.stringify({ customers, content })))
  const areDead = async (count: number) => await eventually(async () => (await broker.channel.checkQueue(`${queue}.dead`)).messageCount === count, `${count} are dead letters`)
  const env = { AMQP_URL: broker.url, QUEUE: queue }
  ship('for one', '123')
  ship('for two', '123', '456')
  t.match(await app.notifier.notify('123', 'by a call'), { outcome: 'dead-lettered' })
  await areDead(4)
  t.equal(await replay(t, env, 'offline'), '4 of 4 dead letters replayed\n')
  await areDead(4) // again, as both are still away
  const client = await connectClient(t, notifications('123'))
  t.equal(await replay(t, env, 'offline'), '4 of 4 dead letters replayed\n')
  t.same(new Set(await client.received(3)), new Set(['for one', 'for two', 'by a call']))
  await areDead(1)
  t.equal(app.notifier.stats().ignored, 0)
})

test('the recipe for dead letters ends with an error, and keeps the letter, if its queue is gone', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(`${queue}.dead`)
  await broker.publishWith({ headers: { 'x-notification-reason': 'offline' } }, `${queue}.dead`, 'hi')
  await t.rejects(replay(t, { AMQP_URL: broker.url, QUEUE: queue }, 'offline'), /NOT_FOUND - no queue/)
  t.equal((await broker.takeAll(`${queue}.dead`, 1)).length, 1)
})

test('the recipe for an existing queue moves what waits in it, and what is published meanwhile arrives', { timeout: 600_000 }, async t => {
  const node = await startBroker(t, { plugins: ['rabbitmq_shovel'] })
  const { channel } = await connectTo(t, node.url)
  await channel.assertExchange('orders', 'topic')
  await channel.assertQueue('orders-old', { durable: true, arguments: { 'x-queue-type': 'classic' } })
  await channel.bindQueue('orders-old', 'orders', 'order.*')
  const publish = (id: string) => channel.publish('orders', 'order.new', Buffer.from(JSON.stringify({ userId: '123', content: id, id })), { persistent: true })
  publish('a')
  publish('b')
  const options = /queue: (\{ name: 'notifications'.*?\] \})/.exec(page)![1]!
  const queue = { name: 'notifications', bindings: [{ exchange: 'orders', routingKey: 'order.*' }] }
  t.equal(options, "{ name: 'notifications', bindings: [{ exchange: 'orders', routingKey: 'order.*' }] }", 'step 1 is this option')
  const { notifications } = await startApp(t, {
    amqpUrl: node.url,
    queue,
    settle: 'acknowledged',
    decode: ({ json, routingKey }) => routingKey === 'order.new' ? json() as { userId: string, content: string, id: string } : undefined
  })
  const client = await connectRich(t, notifications('123'))
  const receive = async (count: number) => (await client.framesReceived(count)).map(({ id }) => id!)
  publish('c')
  client.ack(...await receive(1))
  await channel.unbindQueue('orders-old', 'orders', 'order.*')
  publish('d')
  await channel.assertExchange('orders-move', 'fanout')
  await channel.bindQueue('notifications', 'orders-move', '')
  client.ack(...await receive(2))
  for (const command of commandsOf('Moving an existing queue over')) await node.ctl(...command)
  await eventually(async () => (await node.ctl('list_parameters')).includes('move-orders') === false, 'the shovel has ended')
  t.same(new Set(await receive(5)), new Set(['a', 'b', 'c', 'd']), 'all of them, of which one twice')
  t.equal((await channel.checkQueue('orders-old')).messageCount, 0)
  await t.resolves(node.ctl('delete_queue', 'orders-old'))
})

test('the recipe for a policy applies to both queues, and does what it is for', { timeout: 600_000 }, async t => {
  const node = await startBroker(t)
  const broker = await connectTo(t, node.url)
  const { app } = await startApp(t, { amqpUrl: node.url, queue: 'notifications' })
  const commands = commandsOf('A policy for production')
  t.equal(commands.length, 2)
  for (const command of commands) await node.ctl(...command)
  const policies = async () => (await node.ctl('list_queues', 'name', 'policy', '--formatter', 'json')) as string
  await eventually(async () => {
    const queues = JSON.parse(await policies()) as Array<{ name: string, policy: string }>
    return queues.length === 2 && queues.every(({ name, policy }) => policy === name.replace('.', '-'))
  }, 'each has its policy')
  await app.close()

  // The same with small numbers, so that it happens.
  const small = (command: string[]) => command.map(part => part.replace(/"message-ttl": \d+/, '"message-ttl": 200').replace(/"max-length": \d+/, '"max-length": 2'))
  await node.ctl(...small(commands[1]!).map(part => part.replace(', "message-ttl": 200', '')))
  await node.ctl(...small(commands[0]!))
  await eventually(async () => {
    // RabbitMQ applies a policy some time after the command has ended, and a time to live to what comes after that.
    await broker.publish('notifications', { userId: '123', content: 'too old' })
    return (await broker.channel.checkQueue('notifications.dead')).messageCount > 0
  }, 'what expires goes to the dead-letter queue')
  await broker.channel.purgeQueue('notifications')
  for (const content of ['1', '2', '3']) await broker.publish('notifications.dead', content)
  await eventually(async () => (await broker.channel.checkQueue('notifications.dead')).messageCount === 2, 'the oldest dead letters go')

  for (const command of commands) await node.ctl(...command)
  const { log, notifications } = await startApp(t, { amqpUrl: node.url, queue: 'notifications' })
  const client = await connectClient(t, notifications('123'))
  await broker.publish('notifications', { userId: '123', content: 'hi' })
  t.same(await client.received(1), ['hi'])
  t.same(log.lines.filter(({ msg }) => /lose|limit is/.test(msg) && !msg.startsWith('limits.connections')), [], 'the plugin has nothing to warn of')
})

test('the recipe for Redis keeps what is held over a kill, and a full Redis drops nothing', async t => {
  const config = Object.fromEntries(blocksOf('Redis for the hold', '')[0]!.trim().split('\n').map(line => line.split(' '))) as Record<string, string>
  t.same(Object.keys(config), ['appendonly', 'appendfsync', 'maxmemory', 'maxmemory-policy'])
  const [broker, redis] = await Promise.all([useBroker(t), usePrivateRedis(t, { config })])
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue: broker.queueName(), offline: 'hold', hold: { redis: redis.url } })
  t.match(await app.notifier.notify('123', 'kept'), { outcome: 'held' })
  await redis.kill()
  await redis.start()
  await eventually(() => app.notifier.health().state !== 'hold-failing', 'it is back')
  const admin = new Redis(redis.url)
  t.teardown(() => admin.disconnect())
  await admin.config('SET', 'maxmemory', '1')
  await t.rejects(app.notifier.notify('123', 'one too many'), { code: 'FST_NOTIFICATION_HOLD_FAILED' }, 'a full Redis refuses')
  const client = await connectClient(t, notifications('123'))
  t.same(await client.received(1), ['kept'])
})
