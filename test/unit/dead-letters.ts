import type { ConsumeMessage } from 'amqplib'
import { test } from 'tap'
import { DeadLetters } from '../../src/rabbitmq/dead-letters.js'
import { compose } from '../../src/delivery/notification.js'
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
  const deadLetters = new DeadLetters({ options, publisher, changed: () => {}, log })
  const originOf = (text: string) => ({
    message: { content: Buffer.from(text), fields: {}, properties: {} } as ConsumeMessage, queue: 'hello', gone: new AbortController().signal
  })

  const offline = { reason: 'offline', detail: 'the user had no connection that took it' } as const
  const origin = originOf('one')
  const first = deadLetters.add(origin, offline)
  const other = deadLetters.add(originOf('another'), offline)
  await new Promise(resolve => setImmediate(resolve))
  await Promise.all([first, deadLetters.add(origin, { reason: 'delivery-limit', detail: 'returned too often' }), other])
  t.same(letters.toSorted(), ['another', 'one'])
})

test('dead letters of the users of one message are published one after the other, and are known to wait', async t => {
  const { app: { log } } = createApp(t)
  const options = parseOptions({ amqpUrl: 'amqp://localhost', queue: 'hello' }) as BrokerOptions
  const published: Array<() => void> = []
  const publisher = { publish: () => new Promise<void>(resolve => { published.push(resolve) }) } as Partial<Publisher> as Publisher
  const deadLetters = new DeadLetters({ options, publisher, changed: () => {}, log })
  const origin = { message: { content: Buffer.from('many'), fields: {}, properties: {} } as ConsumeMessage, queue: 'hello', gone: new AbortController().signal }
  const users = ['1', '2', '3']
  const added = users.map(userId => deadLetters.addOne(origin, compose(userId, 'hi'), { reason: 'offline', detail: 'away', userId }))
  t.same([...deadLetters.waiting()].map(({ userId }) => userId), users)
  for (let n = 1; n <= users.length; n++) {
    await new Promise(resolve => setImmediate(resolve))
    t.equal(published.length, n)
    published[n - 1]!()
    await added[n - 1]
  }
  t.same([...deadLetters.waiting()], [])
})

test('a dead letter says that its body has the own form, also if the message was held or replayed before, or its headers are left out', async t => {
  const { app: { log } } = createApp(t)
  const options = parseOptions({ amqpUrl: 'amqp://localhost', queue: 'hello' }) as BrokerOptions
  const letters: Array<Record<string, unknown>> = []
  let refusals = 0
  const publisher = {
    async publish (_queue, _content, { headers }) {
      if (refusals-- > 0) throw new RangeError('the headers are too large')
      letters.push(headers)
    }
  } as Partial<Publisher> as Publisher
  const deadLetters = new DeadLetters({ options, publisher, changed: () => {}, log })
  const rejected = { reason: 'rejected', detail: 'x' } as const
  const originOf = (headers: Record<string, unknown>) => ({
    message: { content: Buffer.from('{}'), fields: {}, properties: { headers } } as ConsumeMessage, queue: 'hello', gone: new AbortController().signal
  })
  await deadLetters.addOwn(Buffer.from('{}'), 'rejected', 'x')
  await deadLetters.addOne(originOf({}), compose('1', 'hi'), rejected)
  await deadLetters.add(originOf({ 'x-notification-held-since': 1 }), rejected)
  await deadLetters.add(originOf({ 'x-notification-own-form': true }), rejected)
  refusals = 1
  await deadLetters.add(originOf({ 'x-notification-own-form': true }), rejected)
  await deadLetters.add(originOf({}), rejected)
  t.same(letters.map(headers => headers['x-notification-own-form']), [true, true, true, true, true, undefined])
})
