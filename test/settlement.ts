import { EventEmitter, once } from 'node:events'
import { connect, type Channel, type ConsumeMessage } from 'amqplib'
import { test, type Test } from 'tap'
import { AckBatcher } from '../src/rabbitmq/ack-batcher.js'
import { useBroker, type TestBroker } from './support/broker.js'

/** A channel of its own that has been delivered some messages, not settled yet. */
async function deliver (t: Test, broker: TestBroker, queue: string, count: number, prefetch = count + 1) {
  const connection = await connect(broker.url, { noDelay: true })
  t.teardown(() => connection.close())
  const channel = await connection.createChannel()
  await channel.prefetch(prefetch)
  const batcher = new AckBatcher(channel, prefetch)
  const acks: Array<{ deliveryTag: number, multiple: boolean }> = []
  const ack = channel.ack.bind(channel)
  channel.ack = (message, multiple = false) => {
    ack(message, multiple) // throws on a closed channel
    acks.push({ deliveryTag: message.fields.deliveryTag, multiple })
  }
  const messages: ConsumeMessage[] = []
  const arrivals = new EventEmitter()
  channel.consume(queue, message => {
    batcher.track(message!)
    messages.push(message!)
    arrivals.emit('message')
  })
  async function received (count: number): Promise<void> {
    while (messages.length < count) await once(arrivals, 'message')
  }
  await received(count)
  return { channel, batcher, messages, acks, received }
}

/** What is in the queue once the channel is closed. */
async function left (broker: TestBroker, channel: Channel, queue: string, least: number): Promise<string[]> {
  await channel.close()
  return (await broker.takeAll(queue, least)).map(({ content }) => content.toString())
}

async function turn (): Promise<void> {
  await new Promise(resolve => setImmediate(resolve))
}

test('outcomes may come in any order: the longest settled prefix is acked, once in a turn of the event loop', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue)
  await broker.publish(queue, ...'abcdef')
  const { channel, batcher, messages, acks } = await deliver(t, broker, queue, 6)
  const [a, b, c, d, e] = messages
  t.equal(batcher.unsettledCount, 6)

  for (const message of [c, b, e]) t.ok(batcher.settle(message!))
  await turn()
  t.same(acks, [], 'the first has no outcome yet')
  t.equal(batcher.unsettledCount, 3)

  batcher.settle(a!)
  await turn()
  t.same(acks, [{ deliveryTag: 3, multiple: true }])

  batcher.settle(d!)
  await turn()
  t.same(acks[1], { deliveryTag: 5, multiple: true })
  t.equal(batcher.unsettledCount, 1)

  await turn()
  t.equal(acks.length, 2, 'nothing settled, nothing acked')
  t.same(await left(broker, channel, queue, 1), ['f'])
})

test('one message without an outcome does not stall the rest: acks go out singly when the window is full', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue)
  await broker.publish(queue, ...'abcdefgh')
  const { channel, batcher, messages, acks, received } = await deliver(t, broker, queue, 4, 4)

  for (const n of [1, 3]) batcher.settle(messages[n]!)
  await received(6)
  t.same(acks, [{ deliveryTag: 2, multiple: false }, { deliveryTag: 4, multiple: false }])

  batcher.settle(messages[5]!)
  await received(7)
  t.same(acks[2], { deliveryTag: 6, multiple: false })
  for (const n of [0, 2]) batcher.settle(messages[n]!)
  await received(8)
  t.same(acks.slice(3), [{ deliveryTag: 3, multiple: true }], 'not 4, which has had its ack')
  for (const n of [4, 6, 7]) batcher.settle(messages[n]!)
  await turn()
  t.equal(batcher.unsettledCount, 0)
  t.same(await left(broker, channel, queue, 0), [])
})

test("allSettled() of a channel's ack batcher waits for the last outcome", async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue)
  await broker.publish(queue, ...'ab')
  const { channel, batcher, messages } = await deliver(t, broker, queue, 2)
  let done = false
  const settled = batcher.allSettled().then(() => { done = true })
  batcher.settle(messages[1]!)
  await turn()
  t.notOk(done)
  batcher.settle(messages[0]!)
  await settled
  batcher.flush()
  t.same(await left(broker, channel, queue, 0), [])
})

test("flush() of a channel's ack batcher acks what is settled behind an unsettled message too", async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue)
  await broker.publish(queue, ...'abc')
  const { channel, batcher, messages } = await deliver(t, broker, queue, 3)
  batcher.settle(messages[0]!)
  batcher.settle(messages[2]!)
  batcher.flush()
  t.same(await left(broker, channel, queue, 1), ['b'])
})

test('fault 7: what is settled after its channel died is acked on no other', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue)
  await broker.publish(queue, ...'ab')
  const first = await deliver(t, broker, queue, 2)
  const waiting = first.batcher.allSettled()
  first.batcher.settle(first.messages[0]!) // its ack would go out when the channel is closing
  await first.channel.close()
  await waiting

  const second = await deliver(t, broker, queue, 2)
  t.notOk(first.batcher.settle(first.messages[1]!), 'said to have come to nothing')
  await turn()
  t.equal(first.batcher.unsettledCount, 0)
  t.same(first.acks, [])
  t.same(second.acks, [])
  t.equal(second.batcher.unsettledCount, 2)
  t.same(await left(broker, second.channel, queue, 2), ['a', 'b'])
})
