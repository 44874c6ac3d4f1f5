import { test } from 'tap'
import type { Channel, ConsumeMessage } from 'amqplib'
import { ChannelDeliveries } from '../../src/rabbitmq/channel-deliveries.js'
import { DeliveredMessage, commonProperties } from '../../src/rabbitmq/delivered-message.js'
import { readDeliveries } from '../../src/rabbitmq/delivery-reader.js'
import { DeliveryLimitWatch } from '../../src/rabbitmq/delivery-limit.js'
import type { Standby } from '../../src/rabbitmq/standby.js'
import { UnsettledBytes } from '../../src/rabbitmq/unsettled-bytes.js'
import { createRandom, type Random } from '../support/random.js'
import { bodyFrame, CONSUMER_TAG, defs, openScripted } from '../support/scripted-amqp.js'

const CHANNELS = 2
const HEARTBEAT = Buffer.from([8, 0, 0, 0, 0, 0, 0, 0xce])

function text (random: Random, most: number): string {
  return Array.from({ length: random.between(0, most) }, () => random.oneOf(['a', '0', '"', 'é', '漢', '😀', '\0'])).join('').slice(0, most)
}

function table (random: Random, depth: number): object {
  const values = [() => text(random, 20), () => random.between(-5, 2 ** 31), () => true, () => null, () => 0.5, () => [1, text(random, 3)], () => ({ '!': 'timestamp', value: 5 }), ...depth > 0 ? [() => table(random, depth - 1)] : []]
  return Object.fromEntries(Array.from({ length: random.between(0, 5) }, (_, n) => [`${text(random, 5)}${n}`, random.oneOf<() => unknown>(values)()]))
}

/** Any set of properties. */
function properties (random: Random): object {
  const all = {
    contentType: text(random, 30),
    contentEncoding: text(random, 10),
    headers: table(random, 2),
    deliveryMode: random.between(1, 2),
    priority: random.between(0, 255),
    correlationId: text(random, 40),
    replyTo: text(random, 40),
    expiration: text(random, 5),
    messageId: text(random, 60),
    timestamp: random.between(0, 2 ** 31),
    type: text(random, 9),
    userId: text(random, 9),
    appId: text(random, 9),
    clusterId: text(random, 9)
  }
  const share = random.oneOf([0, 1, 3, 4])
  return Object.fromEntries(Object.entries(all).filter(() => random.between(1, 4) <= share))
}

/** The frames of a message, one by one. A body may come in several frames. */
function message (random: Random, channel: number, bodySize = random.oneOf([0, 1, random.between(1, 300), 3_000, 4_080])): Buffer[] {
  const body = random.bytes(bodySize)
  const parts = random.between(0, 3) > 0 || body.length < 2 ? 1 : 2
  const half = Math.ceil(body.length / parts)
  const target = { exchange: random.oneOf(['', 'events', text(random, 60)]), routingKey: random.oneOf(['queue', text(random, 60)]) }
  const method = random.between(0, 20) === 0
    ? defs.encodeMethod(defs.BasicReturn, channel, { replyCode: 312, replyText: 'NO_ROUTE', ...target })
    : defs.encodeMethod(defs.BasicDeliver, channel, { consumerTag: CONSUMER_TAG, deliveryTag: random.oneOf([1, random.between(0, 2 ** 31), 2 ** 40]), redelivered: random.between(0, 1) === 1, ...target })
  return [
    method,
    defs.encodeProperties(defs.BasicProperties, channel, body.length, properties(random)),
    ...Array.from({ length: body.length === 0 ? 0 : parts }, (_, n) => bodyFrame(channel, body.subarray(n * half, (n + 1) * half)))
  ]
}

/** What ends a channel or the connection. */
const endings: Array<(random: Random) => Buffer> = [
  () => defs.encodeMethod(defs.BasicDeliver, 1, { consumerTag: 'unknown', deliveryTag: 1, redelivered: false, exchange: '', routingKey: '' }),
  () => defs.encodeMethod(defs.ChannelClose, 1, { replyCode: 404, replyText: 'gone', classId: 0, methodId: 0 }),
  () => defs.encodeMethod(defs.ConnectionClose, 0, { replyCode: 320, replyText: 'forced', classId: 0, methodId: 0 }),
  () => bodyFrame(1, Buffer.from('a body without a message')),
  () => bodyFrame(9, Buffer.from('a channel that is not open')),
  random => Buffer.concat(message(random, 1, 5_000)), // a frame that is too large
  random => random.bytes(40)
]

/** All that arrives: messages of both channels, whose frames may alternate, heartbeats, and at the end something wrong. */
function stream (random: Random): Buffer {
  const frames: Buffer[] = []
  for (let count = random.between(1, 40); count > 0; count--) {
    const [one, other] = random.between(0, 4) === 0 ? [message(random, 1, 30), message(random, 2, 30)] : [message(random, 1), []]
    while (one.length + other.length > 0) frames.push((other.length > 0 && (one.length === 0 || random.between(0, 1) === 0) ? other : one).shift()!)
    if (random.between(0, 5) === 0) frames.push(HEARTBEAT)
    if (random.between(0, 9) === 0) frames.push(defs.encodeMethod(defs.BasicCancel, random.between(1, 2), { consumerTag: CONSUMER_TAG, nowait: true }))
  }
  const end = random.oneOf<(random: Random) => Buffer>([...endings, () => Buffer.alloc(0)])(random)
  return Buffer.concat([...frames, end, ...message(random, 1), ...message(random, 2)])
}

test('random frames in random chunks give what amqplib gives: messages, errors, and answers to the broker', { timeout: 0 }, async t => {
  const random = createRandom(t)
  let read = 0
  for (let round = 0; round < 100; round++) {
    const bytes = stream(random)
    const throwsAt = random.between(0, 60)
    const open = async (install: Parameters<typeof openScripted>[1]) => {
      let count = 0
      return await openScripted(CHANNELS, install, message => {
        if (message instanceof DeliveredMessage) read++
        if (count++ === throwsAt) throw new Error('the consumer failed')
      })
    }
    const theirs = await open(() => {})
    const ours = await open(model => { t.equal(readDeliveries(model), true) })
    for (let at = 0; at < bytes.length;) {
      const size = random.oneOf([random.between(1, 20), random.between(1, 2_000), 65_536])
      await Promise.all([theirs, ours].map(connection => connection.receive(bytes.subarray(at, at + size))))
      at += size
    }
    if (!t.same(ours.events, theirs.events) || !t.same(ours.written(), theirs.written())) return
  }
  t.ok(read > 300, 'and most are read without amqplib')
})

test('the common properties of a message are those of all its properties', async t => {
  const random = createRandom(t)
  const seen: ConsumeMessage[] = []
  const { receive } = await openScripted(1, readDeliveries, message => seen.push(message))
  for (let count = 0; count < 500; count++) await receive(Buffer.concat(message(random, 1)))
  for (const message of seen) {
    const { contentEncoding, expiration, messageId, headers } = commonProperties(message)
    const { properties } = message
    t.same([contentEncoding, expiration, messageId, headers], [properties.contentEncoding, properties.expiration, properties.messageId, properties.headers])
  }
  t.ok(seen.filter(message => message instanceof DeliveredMessage).length > 100)
})

test('a message that waits for its outcome keeps nothing of the chunk that it came in but itself', async t => {
  const waiting: ConsumeMessage[] = []
  const unused = {} as never
  const deliveries = new ChannelDeliveries({
    channel: { ack () {} } as unknown as Channel,
    queue: 'queue',
    prefetch: 10,
    handlers: { handle: ({ message }) => { waiting.push(message); return new Promise(() => {}) }, failed: unused, abandoned: unused },
    deadLetters: unused,
    standby: { isOn: false } as Standby,
    limitWatch: new DeliveryLimitWatch('queue', unused),
    memory: new UnsettledBytes(Infinity),
    counts: new Map(),
    proved () {},
    log: unused
  })
  const { receive } = await openScripted(1, readDeliveries, message => deliveries.receive(message))
  const sent = { messageId: 'a', contentEncoding: 'identity', headers: { b: 1 } }
  const chunk = Buffer.concat([
    defs.encodeMethod(defs.BasicDeliver, 1, { consumerTag: CONSUMER_TAG, deliveryTag: 1, redelivered: false, exchange: '', routingKey: '' }),
    defs.encodeProperties(defs.BasicProperties, 1, 5, sent),
    bodyFrame(1, Buffer.from('hello')),
    ...Array.from({ length: 12_500 }, () => HEARTBEAT) // more than the pool of any version of Node
  ])
  await receive(chunk)
  const [message] = waiting
  t.ok(message instanceof DeliveredMessage)
  t.equal(message?.content.toString(), 'hello')
  t.ok(message!.content.buffer.byteLength < 100_000, `it keeps ${message!.content.buffer.byteLength} bytes`)
  t.match({ ...commonProperties(message!), ...message?.properties }, sent)
})

test('an amqplib of another kind is left as it is', t => {
  const connection = { recvFrame () {}, rest: Buffer.alloc(0), channels: [], maxFrameSize: 0 }
  const { recvFrame } = connection
  t.equal(readDeliveries({ connection } as never), false)
  t.equal(connection.recvFrame, recvFrame)
  t.end()
})
