import type { ConsumeMessage } from 'amqplib'
import { test } from 'tap'
import { createDeadLetters } from '../../src/rabbitmq/dead-letters.js'
import { errors } from '../../src/errors.js'
import { parseOptions } from '../../src/options/parse.js'
import type { BrokerOptions } from '../../src/options/schema.js'
import type { Publisher } from '../../src/rabbitmq/publisher.js'
import { createApp } from '../support/app.js'

test('a message that is dead-lettered for two reasons at a time, while the broker takes no publishes, has one dead letter', async t => {
  const { app: { log } } = createApp(t)
  const options = parseOptions({ amqpUrl: 'amqp://localhost', queue: 'hello', reconnect: { initialDelay: 10, maxDelay: 10 } }) as BrokerOptions
  const letters: string[] = []
  let refusals = 3
  const publisher = {
    async publish (queue, content) {
      await new Promise(resolve => setImmediate(resolve))
      if (refusals-- > 0) throw new errors.PublishFailed(queue, 'the broker has refused it')
      letters.push(content.toString())
    },
    async ensureDeadLetterQueue () {}
  } as Partial<Publisher> as Publisher
  const deadLetters = createDeadLetters(options, publisher, log)
  const originOf = (text: string) => ({
    message: { content: Buffer.from(text), fields: {}, properties: {} } as ConsumeMessage, queue: 'hello', gone: new AbortController().signal
  })

  const origin = originOf('one')
  const first = deadLetters.add(origin, 'offline', 'the user had no connection')
  const other = deadLetters.add(originOf('another'), 'offline', 'the user had no connection')
  await new Promise(resolve => setImmediate(resolve))
  await Promise.all([first, deadLetters.add(origin, 'delivery-limit', 'returned too often'), other])
  t.same(letters.toSorted(), ['another', 'one'])
})
