import { connect, type ConsumeMessage } from 'amqplib'
import { test } from 'tap'
import { DeliveredMessage } from '../src/rabbitmq/delivered-message.js'
import { readDeliveries } from '../src/rabbitmq/delivery-reader.js'
import { useBroker } from './support/broker.js'
import { eventually } from './support/eventually.js'

test('what RabbitMQ delivers is read without amqplib, and is the same', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  await broker.channel.assertQueue(queue)
  const properties = { contentType: 'application/json', headers: { traceparent: '00-1-2-01', nested: { a: [1] } }, messageId: 'a', timestamp: 5, expiration: '60000' }
  const take = async (install: typeof readDeliveries): Promise<ConsumeMessage[]> => {
    await broker.publish(queue, 'plain', '')
    await broker.publishWith(properties, queue, 'with properties')
    const model = await connect(broker.url)
    t.teardown(() => model.close())
    install(model)
    const channel = await model.createChannel()
    const messages: ConsumeMessage[] = []
    const { consumerTag } = await channel.consume(queue, message => messages.push(message!))
    await eventually(() => messages.length === 3, 'all messages')
    for (const message of messages) channel.ack(message)
    await channel.cancel(consumerTag)
    return messages
  }
  const theirs = await take(() => true)
  const ours = await take(readDeliveries)
  const comparable = ({ fields: { consumerTag, ...fields }, properties, content }: ConsumeMessage) => ({ ...fields, ...properties, content })
  t.same(ours.map(comparable), theirs.map(comparable))
  t.equal(ours.filter(message => message instanceof DeliveredMessage).length, 2, 'all but the empty one')
})
