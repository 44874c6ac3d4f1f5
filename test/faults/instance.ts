import { once } from 'node:events'
import { test, type Test } from 'tap'
import { useBroker, type TestBroker } from '../support/broker.js'
import { connectClient } from '../support/client.js'
import { eventually } from '../support/eventually.js'
import { startProgram } from '../support/process.js'
import { createRandom } from '../support/random.js'

const PREFETCH = 100
const COUNT = 3_000

/** A process with the plugin, which prints its port when it listens. */
async function startInstance (t: Test, broker: TestBroker, queue: string) {
  const child = startProgram(t, 'test/support/instance.ts', [broker.url, queue, String(PREFETCH)])
  const [port] = await once(child.stdout!, 'data')
  return { child, notifications: (userId: string) => `ws://127.0.0.1:${String(port).trim()}/notification?userId=${userId}` }
}

test('fault 15: an instance is killed in mid-delivery: the rest is delivered elsewhere', { timeout: 400_000 }, async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue, { durable: true })
  const random = createRandom(t)
  const [first, second] = await Promise.all([startInstance(t, broker, queue), startInstance(t, broker, queue)])
  const atFirst = await connectClient(t, first.notifications('123'))
  const atSecond = await connectClient(t, second.notifications('123'))
  const all = () => [...atFirst.messages, ...atSecond.messages].map(Number)

  const published = broker.publish(queue, ...Array.from({ length: COUNT }, (_, n) => ({ userId: '123', content: n })))
  await atFirst.received(random.between(10, 500))
  first.child.kill('SIGKILL')
  await published
  await eventually(() => new Set(all()).size === COUNT, 'all have arrived, at one of the two')
  t.ok(all().length - COUNT <= PREFETCH, `${all().length - COUNT} seen twice, of at most ${PREFETCH}`)
  await eventually(async () => (await broker.channel.checkQueue(queue)).messageCount === 0, 'settled')
})

test('fault 16: SIGTERM in mid-delivery: nothing is lost, and the process ends by itself in time', { timeout: 400_000 }, async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue, { durable: true })
  const random = createRandom(t)
  const { child, notifications } = await startInstance(t, broker, queue)
  const client = await connectClient(t, notifications('123'))

  const published = broker.publish(queue, ...Array.from({ length: COUNT }, (_, n) => ({ userId: '123', content: n })))
  await client.received(random.between(10, 500))
  const asked = Date.now()
  child.kill('SIGTERM')
  const [code] = await once(child, 'exit')
  t.equal(code, 0)
  t.ok(Date.now() - asked < 60_000, `ended after ${Date.now() - asked} ms, before drainTimeout`)
  t.equal((await client.closed).code, 1001)
  await published

  const left = (await broker.takeAll(queue, COUNT - client.messages.length)).map(({ content }) => JSON.parse(content.toString()).content as number)
  const all = [...client.messages.map(Number), ...left]
  t.equal(new Set(all).size, COUNT, 'each was delivered, or is still in the queue')
  t.equal(all.length, COUNT, 'and none both')
})
