import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Channel, ConsumeMessage } from 'amqplib'
import { test } from 'tap'
import { AckBatcher } from '../../src/rabbitmq/ack-batcher.js'
import { eventually } from '../support/eventually.js'

const PREFETCH = 100

const delivered = (deliveryTag: number) => ({ fields: { deliveryTag } }) as ConsumeMessage

/** A channel that has delivered as many messages as it may, of which all but the first are settled. */
function createStalled () {
  const acks: Array<[tag: number, multiple: boolean]> = []
  const channel = { ack: ({ fields }: ConsumeMessage, multiple: boolean) => acks.push([fields.deliveryTag, multiple]) } as unknown as Channel
  const batcher = new AckBatcher(channel, PREFETCH)
  for (let tag = 1; tag <= PREFETCH; tag++) batcher.track(delivered(tag))
  for (let tag = 2; tag <= PREFETCH; tag++) batcher.settle(delivered(tag))
  return { acks, batcher }
}

test('a message that is settled a moment after the others is acked together with them', async t => {
  let acks: unknown[] = []
  // On a busy machine the moment may take too long.
  await eventually(async () => {
    const stalled = createStalled()
    const began = performance.now()
    await nextTurn()
    stalled.batcher.settle(delivered(1))
    const isSoon = performance.now() - began < 3
    acks = stalled.acks
    await eventually(() => acks.length > 0, 'acked')
    stalled.batcher.abandon()
    return isSoon
  }, 'soon enough')
  t.same(acks, [[PREFETCH, true]])
})

test('the others are acked singly if a message has no outcome; then those that follow, without waiting for it again', async t => {
  const { acks, batcher } = createStalled()
  await eventually(() => acks.length === PREFETCH - 1, 'acked singly')
  for (let tag = PREFETCH + 1; tag < 2 * PREFETCH; tag++) batcher.track(delivered(tag))
  for (let tag = PREFETCH + 1; tag < 2 * PREFETCH; tag++) batcher.settle(delivered(tag))
  await nextTurn()
  t.equal(acks.length, 2 * PREFETCH - 2)
  t.notOk(acks.some(([, multiple]) => multiple))
  batcher.settle(delivered(1))
  await eventually(() => acks.length === 2 * PREFETCH - 1, 'the first is acked')
  batcher.abandon()
})
