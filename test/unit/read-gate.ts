import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'tap'
import { internals } from '../../src/rabbitmq/amqplib-internals.js'
import { readDeliveries } from '../../src/rabbitmq/delivery-reader.js'
import { ReadGate } from '../../src/rabbitmq/read-gate.js'
import { UnsettledBytes } from '../../src/rabbitmq/unsettled-bytes.js'
import { eventually } from '../support/eventually.js'
import { bodyFrame, CONSUMER_TAG, defs, openScripted } from '../support/scripted-amqp.js'

function message (deliveryTag: number): Buffer {
  return Buffer.concat([
    defs.encodeMethod(defs.BasicDeliver, 1, { consumerTag: CONSUMER_TAG, deliveryTag, redelivered: false, exchange: '', routingKey: '' }),
    defs.encodeProperties(defs.BasicProperties, 1, 5, {}),
    bodyFrame(1, Buffer.from('hello'))
  ])
}

for (const [by, install] of [['our reader', readDeliveries], ['amqplib', () => {}]] as const) {
  test(`of one chunk, no more messages are read than there is memory for: by ${by}`, async t => {
    const memory = new UnsettledBytes(2)
    const seen: number[] = []
    const { model, receive } = await openScripted(1, install, ({ fields: { deliveryTag } }) => {
      seen.push(deliveryTag)
      memory.change(1)
    })
    const gate = new ReadGate(model, memory)
    t.teardown(() => gate.end())
    await receive(Buffer.concat([1, 2, 3, 4, 5].map(message)))
    t.same(seen, [1, 2])
    await turn()
    t.same(seen, [1, 2], 'nor in a later turn')
    memory.change(-1)
    await eventually(() => seen.length === 3, 'there is room for one')
    memory.change(-3)
    await eventually(() => seen.length === 5, 'and for the others')
    t.same(seen, [1, 2, 3, 4, 5])
  })
}

test('what a gate has put into a connection is gone when it has ended, and what has waited is read', async t => {
  const memory = new UnsettledBytes(1)
  const seen: number[] = []
  const { model, receive } = await openScripted(1, readDeliveries, ({ fields: { deliveryTag } }) => {
    seen.push(deliveryTag)
    memory.change(1)
  })
  const connection = internals(model)
  const { recvFrame } = connection
  const gate = new ReadGate(model, memory)
  await receive(Buffer.concat([1, 2, 3].map(message)))
  t.same(seen, [1])
  gate.end()
  t.same([connection.recvFrame, connection.mayRead], [recvFrame, undefined])
  await eventually(() => seen.length === 3, 'all are read')
})
