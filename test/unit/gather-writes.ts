import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ConsumeMessage } from 'amqplib'
import { test } from 'tap'
import { gatherWrites } from '../../src/rabbitmq/gather-writes.js'
import { openScripted } from '../support/scripted-amqp.js'

const delivered = (deliveryTag: number) => ({ fields: { deliveryTag } }) as ConsumeMessage

test('what several channels have for the broker in one turn goes out in one write, unchanged', async t => {
  const [gathered, plain] = await Promise.all([gatherWrites, () => {}].map(async install => {
    const { channels, written, writeCount } = await openScripted(2, install, () => {})
    for (let tag = 1; tag <= 50; tag++) for (const channel of channels) channel.ack(delivered(tag))
    for (let turns = 0; turns < 5; turns++) await nextTurn()
    return { bytes: written(), writes: writeCount() }
  }))
  t.same(gathered!.bytes, plain!.bytes)
  t.equal(gathered!.writes, 1)
  t.ok(plain!.writes > 50)
})

test('an unknown amqplib is left as it is', async t => {
  const { model } = await openScripted(1, () => {}, () => {})
  Object.assign(model.connection, { muxer: undefined })
  t.equal(gatherWrites(model), false)
})
