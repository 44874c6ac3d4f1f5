import { connect } from 'amqplib'
import { test } from 'tap'
import { startApp } from './support/app.js'
import { useBroker, type Body } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { publishWithNestedHeaders } from './support/frames.js'

const json = (value: unknown) => JSON.stringify(value)

const nested = `{"userId":"123","content":${'['.repeat(200_000)}${']'.repeat(200_000)}}`

const invalid: Array<[name: string, body: Body, reason: string]> = [
  ['malformed JSON', '{"userId":"123","content"', 'invalid-json'],
  ['an empty body', '', 'invalid-json'],
  ['invalid UTF-8', Buffer.from('7b22757365724964223a22ff227d', 'hex'), 'invalid-utf8'],
  ['not an object', '"hello"', 'invalid-message'],
  ['an array', '[]', 'invalid-message'],
  ['null', 'null', 'invalid-message'],
  ['no userId', json({ content: 'secret' }), 'invalid-message'],
  ['no content', json({ userId: '123' }), 'invalid-message'],
  ['a number with a fraction as userId', json({ userId: 1.5, content: 'secret' }), 'invalid-message'],
  ['a number above 2^53 as userId', '{"userId":9007199254740992,"content":"secret"}', 'invalid-message'],
  ['null as userId', json({ userId: null, content: 'secret' }), 'invalid-message'],
  ['an empty userId', json({ userId: '', content: 'secret' }), 'invalid-message'],
  ['__proto__ as userId', json({ userId: '__proto__', content: 'secret' }), 'invalid-message'],
  ['a lone surrogate as userId', '{"userId":"\\ud800","content":"secret"}', 'invalid-message'],
  ['a userId of 10 KiB', json({ userId: 'x'.repeat(10_240), content: 'secret' }), 'invalid-message'],
  ['a userId of 256 bytes', json({ userId: '€'.repeat(85) + 'x', content: 'secret' }), 'invalid-message'],
  ['a control character in the userId', json({ userId: 'a\u0007', content: 'secret' }), 'invalid-message'],
  ['an id that is no string', json({ userId: '123', content: 'secret', id: 7 }), 'invalid-message'],
  ['an id of 256 bytes', json({ userId: '123', content: 'secret', id: '€'.repeat(85) + 'x' }), 'invalid-message'],
  ['a body over the limit', Buffer.alloc(16 * 1024 * 1024, '{"userId":"123","content":"secret"}'), 'too-large']
]

test('fault 14: what can\'t be used goes to the dead-letter queue with its reason; the rest arrives in order', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, log, notifications } = await startApp(t, { amqpUrl: broker.url, queue })
  const client = await connectClient(t, notifications('123'))

  const each = 50
  const good = each * invalid.length
  for (const [n, [, body]] of invalid.entries()) {
    const some = Array.from({ length: each }, (_, i) => ({ userId: '123', content: n * each + i }))
    await broker.publish(queue, ...some, body)
  }

  t.same(await client.received(good), Array.from({ length: good }, (_, n) => String(n)))
  const warnings = () => log.lines.filter(({ msg }) => msg === 'message dead-lettered')
  while (warnings().length < invalid.length) await new Promise(resolve => setImmediate(resolve))

  const letters = await broker.takeAll(`${queue}.dead`)
  t.equal(letters.length, invalid.length)
  for (const [name, body, reason] of invalid) {
    const letter = letters.find(({ content }) => content.equals(Buffer.from(body as string)))
    t.match(letter?.properties.headers, {
      'x-notification-reason': reason,
      'x-notification-detail': /./,
      'x-notification-queue': queue,
      'x-notification-exchange': '',
      'x-notification-routing-key': queue
    }, name)
    t.equal(letter?.properties.deliveryMode, 2, 'survives a restart of the broker')
  }
  t.match(app.notifier.stats(), { sent: good, deadLettered: { 'invalid-json': 2, 'invalid-utf8': 1, 'too-large': 1, 'invalid-message': invalid.length - 4 } })
  t.notMatch(json(log.lines), 'secret', 'nothing of a message is logged')
  t.ok(json(log.lines).length < 100_000)
  t.match(app.notifier.health(), { state: 'consuming', unsettled: 0 })
})

test('content that is nested deeper than the stack is delivered', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { notifications } = await startApp(t, { amqpUrl: broker.url, queue })
  const client = await connectClient(t, notifications('123'))
  await broker.publish(queue, nested, { userId: '123', content: 'next' })
  const received = await client.received(2)
  t.ok(received[0] === `${'['.repeat(200_000)}${']'.repeat(200_000)}`)
  t.equal(received[1], 'next')
})

test('the log names the queue and the id of a message that is dead-lettered, and the detail says what was found', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { log } = await startApp(t, { amqpUrl: broker.url, queue })
  await broker.publish(queue, { content: 'hi', id: 'order-7' })
  await broker.publishWith({ messageId: 'm-1' }, queue, '{"userId":9007199254740993,"content":"hi"}', 'nonsense')
  const letter = { level: 40, msg: 'message dead-lettered', queue, deadLetterQueue: `${queue}.dead` }
  const logged = () => log.lines.filter(({ msg }) => msg === letter.msg)
  await eventually(() => logged().length === 3, 'all are dead-lettered')
  t.match(logged(), [
    { ...letter, id: 'order-7', reason: 'invalid-message', detail: 'userId is missing: give userId, userIds, group or everybody' },
    { ...letter, id: 'm-1', reason: 'invalid-message', detail: 'userId is a number above 2^53: send it as a string' },
    { ...letter, id: 'm-1', reason: 'invalid-json', detail: 'the body is not JSON' }
  ])
})

test('a dead letter keeps the properties of the original, except those that would act again', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const copies = broker.queueName()
  await broker.channel.assertQueue(copies)
  const { log } = await startApp(t, { amqpUrl: broker.url, queue })

  await broker.publishWith({
    messageId: 'm-1',
    correlationId: 'c-1',
    contentType: 'application/json',
    timestamp: 1_700_000_000,
    type: 'order.created',
    appId: 'shop',
    expiration: '60000',
    CC: [copies],
    headers: { traceparent: '00-ab-cd-01', nested: { list: [1, 'two', null, true], bytes: Buffer.from([1, 2]) } }
  }, queue, 'nonsense')
  await log.line('message dead-lettered')

  const [letter] = await broker.takeAll(`${queue}.dead`)
  t.match(letter?.properties, {
    messageId: 'm-1',
    correlationId: 'c-1',
    contentType: 'application/json',
    timestamp: 1_700_000_000,
    type: 'order.created',
    appId: 'shop',
    expiration: undefined,
    headers: { traceparent: '00-ab-cd-01', nested: { list: [1, 'two', null, true], bytes: Buffer.from([1, 2]) }, 'x-notification-reason': 'invalid-json' }
  })
  t.equal((await broker.takeAll(copies)).length, 1, "the producer's own copy, and no other")
})

test('headers that leave no room for the reason do not keep a message out of the dead-letter queue', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { log } = await startApp(t, { amqpUrl: broker.url, queue, reconnect: { initialDelay: 1 } })
  await broker.publishWith({ messageId: 'm-1', headers: { large: 'x'.repeat(65_480) } }, queue, 'nonsense')
  await log.line('message dead-lettered')
  const [letter] = await broker.takeAll(`${queue}.dead`)
  const { large, ...headers } = letter?.properties.headers ?? {}
  t.match(headers, { 'x-notification-reason': 'invalid-json' })
  t.ok(large === undefined)
})

test('headers that amqplib receives and cannot send do not keep a message out of the dead-letter queue', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { log } = await startApp(t, { amqpUrl: broker.url, queue })
  // Arrives as { '!': 'timestamp', value: 'abc' }, which amqplib takes for a timestamp of its own.
  const headers = { when: { '!': 'object', value: { '!': 'timestamp', value: 'abc' } } }
  await broker.publishWith({ messageId: 'm-1', headers }, queue, 'nonsense')
  await log.line('message dead-lettered')
  const [letter] = await broker.takeAll(`${queue}.dead`)
  t.match(letter?.properties, { messageId: 'm-1', headers: { 'x-notification-reason': 'invalid-json', when: undefined } })
})

test('a message with headers that amqplib cannot decode is delivered without them, and ends no connection', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, log, notifications } = await startApp(t, { amqpUrl: broker.url, queue })
  const client = await connectClient(t, notifications('123'))

  const connection = await connect(broker.url)
  t.teardown(() => connection.close())
  await connection.createChannel()
  const { stream } = connection.connection as unknown as { stream: NodeJS.WritableStream }
  await broker.publish(queue, { userId: '123', content: 'before' })
  stream.write(publishWithNestedHeaders(queue, '{"userId":"123","content":"deep"}', 11_000))
  stream.write(publishWithNestedHeaders(queue, 'nonsense', 11_000))
  await client.received(2)
  await broker.publish(queue, { userId: '123', content: 'after' })

  t.same(await client.received(3), ['before', 'deep', 'after'])
  await log.line('message dead-lettered')
  t.equal((await broker.takeAll(`${queue}.dead`)).length, 1)
  t.match(app.notifier.health(), { state: 'consuming', lastError: undefined })
})

test('the name of the dead-letter queue is an option', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const deadLetterQueue = broker.queueName()
  const { log } = await startApp(t, { amqpUrl: broker.url, queue, deadLetterQueue })
  await broker.publish(queue, 'nonsense')
  await log.line('message dead-lettered')
  t.equal((await broker.takeAll(deadLetterQueue)).length, 1)
})
