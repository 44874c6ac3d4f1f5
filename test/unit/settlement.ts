import { mock } from 'node:test'
import type { Channel, ConsumeMessage } from 'amqplib'
import { test } from 'tap'
import { AckBatcher } from '../../src/rabbitmq/ack-batcher.js'
import { createRandom } from '../support/random.js'

const message = (deliveryTag: number) => ({ fields: { deliveryTag } }) as ConsumeMessage

/** What a broker knows of a channel, and what it would close the channel for. */
function createChannel (settled: ReadonlySet<number>) {
  const unacked = new Set<number>()
  const problems: string[] = []
  return {
    unacked,
    problems,
    channel: {
      ack ({ fields: { deliveryTag } }: ConsumeMessage, multiple: boolean) {
        const tags = multiple ? [...unacked].filter(tag => tag <= deliveryTag) : [deliveryTag].filter(tag => unacked.has(tag))
        if (tags.length === 0) problems.push(`ack of ${deliveryTag}, which is not there any more`)
        for (const tag of tags) {
          if (!settled.has(tag)) problems.push(`ack of ${tag} before its outcome`)
          unacked.delete(tag)
        }
      }
    } as Channel
  }
}

test('whatever the order of the outcomes, each message is acked once, after its own', async t => {
  const random = createRandom(t)
  for (let round = 0; round < 200; round++) {
    const count = random.between(1, 60)
    const settled = new Set<number>()
    const { channel, unacked, problems } = createChannel(settled)
    const batcher = new AckBatcher(channel, random.between(1, 60))
    const open: number[] = []
    for (let tag = 1; tag <= count || open.length > 0;) {
      if (tag <= count && (open.length === 0 || random.between(0, 1) === 0)) {
        unacked.add(tag)
        batcher.track(message(tag))
        open.push(tag++)
      } else {
        const [next] = open.splice(random.between(0, open.length - 1), 1) as [number]
        settled.add(next)
        if (!batcher.settle(message(next))) problems.push(`the channel is said to be dead at ${next}`)
      }
      if (batcher.unsettledCount !== open.length) problems.push(`${batcher.unsettledCount} unsettled instead of ${open.length}`)
      if (random.between(0, 9) === 0) batcher.flush()
      if (random.between(0, 9) === 0) await new Promise(resolve => setImmediate(resolve))
    }
    await batcher.allSettled()
    batcher.flush()
    batcher.abandon()
    t.same({ problems, unacked: [...unacked] }, { problems: [], unacked: [] }, `${count} messages`)
  }
})

test('on a channel that is dead nothing is settled, and nobody waits for it', async t => {
  const settled = new Set([1, 2])
  const { channel, unacked, problems } = createChannel(settled)
  const batcher = new AckBatcher(channel, 10)
  for (const tag of [1, 2]) {
    unacked.add(tag)
    batcher.track(message(tag))
  }
  t.equal(batcher.settle(message(1)), true)
  const waiting = batcher.allSettled()
  batcher.abandon()
  await waiting
  t.equal(batcher.settle(message(2)), false, 'the broker delivers it again')
  batcher.flush()
  await new Promise(resolve => setImmediate(resolve))
  t.same({ problems, unacked: [...unacked], unsettled: batcher.unsettledCount }, { problems: [], unacked: [1, 2], unsettled: 0 })
})

test('a channel that refuses an ack is dead', async t => {
  const batcher = new AckBatcher({ ack () { throw new Error('Channel closing') } } as unknown as Channel, 10)
  batcher.track(message(1))
  batcher.settle(message(1))
  batcher.flush()
  t.equal(batcher.settle(message(1)), false)
})

test('messages that come one by one are acked together a moment later, and a good share of the prefetch at once', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const acks: number[] = []
  const batcher = new AckBatcher({ ack: ({ fields: { deliveryTag } }: ConsumeMessage) => acks.push(deliveryTag) } as unknown as Channel, 80)
  const settleOneByOne = async (first: number, last: number) => {
    for (let tag = first; tag <= last; tag++) {
      batcher.track(message(tag))
      batcher.settle(message(tag))
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  await settleOneByOne(1, 9)
  t.same(acks, [])
  mock.timers.tick(5)
  t.same(acks, [9])
  await settleOneByOne(10, 19)
  t.same(acks, [9, 19], 'an eighth of the prefetch does not wait')
  await settleOneByOne(20, 20)
  batcher.abandon()
  mock.timers.tick(5)
  t.same(acks, [9, 19], 'a dead channel gets none')
})
