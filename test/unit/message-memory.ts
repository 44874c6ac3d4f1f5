import { gzipSync } from 'node:zlib'
import type { ConsumeMessage } from 'amqplib'
import { test } from 'tap'
import type { Notification } from '../../src/delivery/notification.js'
import type { Payload } from '../../src/delivery/payload.js'
import { parseOptions } from '../../src/options/parse.js'
import type { BrokerOptions } from '../../src/options/schema.js'
import { DeadLetters } from '../../src/rabbitmq/dead-letters.js'
import { DeliveredMessage } from '../../src/rabbitmq/delivered-message.js'
import { decodeMessage } from '../../src/rabbitmq/message.js'
import { MessageIntake, type MessageIntakeParts } from '../../src/rabbitmq/message-intake.js'
import type { Publisher } from '../../src/rabbitmq/publisher.js'
import { QueueMessage } from '../../src/rabbitmq/queue-message.js'
import { ChannelBytes, UnsettledBytes } from '../../src/rabbitmq/unsettled-bytes.js'
import { createApp } from '../support/app.js'
import { collectGarbage } from '../support/collect-garbage.js'

const MAX_BYTES = 2 ** 20
const LARGE = 'x'.repeat(10_000)

const toMessage = (body: Buffer | string, properties: object = {}) => ({ content: Buffer.from(body), fields: { redelivered: false }, properties }) as ConsumeMessage

/** Takes a message whose outcome is not known yet. */
function take (message: ConsumeMessage, options: object = {}, memory = new UnsettledBytes(Infinity), deadLetters?: DeadLetters): QueueMessage {
  const intake = new MessageIntake({
    options: parseOptions({ amqpUrl: 'amqp://localhost', queue: 'hello', ...options }),
    observer: { received () {}, decoded () {} },
    dispatcher: { deliver () {} },
    fanOut: { deliver () {} }
  } as unknown as MessageIntakeParts)
  const arrived = new QueueMessage(message, 'hello', new AbortController().signal, deadLetters!, undefined, new ChannelBytes(memory))
  intake.handle(arrived)
  arrived.beginToWait()
  return arrived
}

/** After this, what is only kept weakly is gone. */
async function forget (): Promise<void> {
  await new Promise(resolve => setImmediate(resolve))
  collectGarbage()
}

for (const [what, body, contentEncoding] of [
  ['a string', JSON.stringify({ userId: '1', content: `${LARGE}"\n\u0000あ😀` })],
  ['a string that Latin-1 has', JSON.stringify({ userId: '1', content: `é${LARGE}` })],
  ['JSON as it was written', `{ "userId": 1, "content": { "n": 1E400, "m":9007199254740993, "text": "\\u0041${LARGE}" }, "more": 1 }`],
  ['of a message for several users', JSON.stringify({ userIds: ['1', '2'], content: [LARGE] })],
  ['behind a byte order mark', `\ufeff${JSON.stringify({ userId: '1', content: LARGE })}`],
  ['of a compressed body', gzipSync(JSON.stringify({ userId: '1', content: LARGE })), 'gzip']
] as const) {
  test(`a large content that is decoded again while its message waits is the same: ${what}`, async t => {
    const { payload: { text, json } } = decodeMessage(toMessage(body, { contentEncoding }), MAX_BYTES) as Notification
    const arrived = take(toMessage(body, { contentEncoding }))
    const payload: Payload = arrived.payload!
    for (let n = 0; n < 2; n++) {
      await forget()
      t.equal(payload.text, text)
      t.equal(payload.json, json)
    }
  })
}

for (const [what, content, isDropped, options] of [
  ['a large content is kept in the body alone while its message waits', LARGE, true, {}],
  ['a short content is not dropped', 'x'.repeat(1_000), false, {}],
  ['what the option decode has returned is not dropped', LARGE, false, { decode: (message: { json (): object }) => message.json() }]
] as const) {
  test(what, async t => {
    const body = JSON.stringify({ userId: '1', content })
    const arrived = take(toMessage(body), options)
    const { bytes } = arrived
    await forget()
    // The body tells whether it is read again.
    const { content: kept } = arrived.message
    kept.fill('y', kept.indexOf('xxx'), kept.lastIndexOf('x') + 1)
    t.equal(arrived.payload!.text, isDropped ? content.replaceAll('x', 'y') : content)
    t.equal(bytes - take(toMessage('{"userId":"1","content":""}')).bytes, (isDropped ? 1 : 2) * content.length, 'counted so')
  })
}

test('a content that is needed again is decoded once more, however often it is needed, and counts from then on', async t => {
  const body = JSON.stringify({ userId: '1', content: LARGE })
  const arrived = take(toMessage(body))
  const { bytes } = arrived
  await forget()
  t.equal(arrived.payload!.text, LARGE)
  t.equal(arrived.bytes, bytes + LARGE.length)
  arrived.message.content.fill('y', body.indexOf('xxx'), body.lastIndexOf('x') + 1)
  for (let n = 0; n < 2; n++) {
    await forget()
    t.equal(arrived.payload!.text, LARGE)
  }
})

test('a content of a compressed body counts, and is not dropped', async t => {
  const memory = new UnsettledBytes(Infinity)
  take(toMessage(gzipSync(JSON.stringify({ userId: '1', content: LARGE })), { contentEncoding: 'gzip' }), {}, memory)
  t.ok(memory.bytes > LARGE.length)
})

test('a message counts its properties as they came, and decoded ones are forgotten while it waits', async t => {
  const header = Buffer.alloc(60_000)
  let decoded = 0
  const decode = () => {
    decoded++
    return { headers: {} } as DeliveredMessage['properties']
  }
  const fields = { redelivered: false } as DeliveredMessage['fields']
  const arrived = take(new DeliveredMessage(fields, Buffer.from('{"userId":"1","content":""}'), header, decode))
  const without = take(new DeliveredMessage(fields, Buffer.from('{"userId":"1","content":""}'), undefined, decode))
  t.equal(arrived.bytes - without.bytes, header.length)
  decoded = 0
  for (let n = 0; n < 2; n++) {
    t.same(arrived.message.properties, { headers: {} })
    t.equal(decoded, 1)
  }
  arrived.beginToWait()
  t.same(arrived.message.properties, { headers: {} })
  t.equal(decoded, 2)
  const { bytes } = arrived
  const published = arrived.addCopy(10)
  t.ok(arrived.bytes > bytes + 10 + 10 * header.length, 'a dead letter has them decoded')
  published()
  t.equal(arrived.bytes, bytes)
})

test('a message keeps no chunk that it arrived in', async t => {
  const chunk = Buffer.alloc(100_000, '{"userId":"1","content":"hi"}')
  const { message } = take(Object.assign(toMessage(''), { content: chunk.subarray(0, 29) }))
  t.equal(message.content.toString(), '{"userId":"1","content":"hi"}')
  t.not(message.content.buffer, chunk.buffer)
})

test('the copy of a body counts while it is published as a dead letter', async t => {
  const { app: { log } } = createApp(t)
  const options = parseOptions({ amqpUrl: 'amqp://localhost', queue: 'hello' }) as BrokerOptions
  const memory = new UnsettledBytes(Infinity)
  const published: Array<{ readonly bytes: number, confirm (): void }> = []
  const publisher = { publish: (_queue, { length: bytes }) => new Promise<void>(resolve => { published.push({ bytes, confirm: resolve }) }) } as Partial<Publisher> as Publisher
  const deadLetters = new DeadLetters({ options, publisher, changed: () => {}, log })
  const body = JSON.stringify({ userIds: ['1', '2'], content: LARGE })
  const arrived = take(toMessage(body), {}, memory, deadLetters)
  await forget()
  t.equal(arrived.payload!.text, LARGE) // it is decoded again, and counts, now: not whenever the collector comes
  const before = memory.bytes
  arrived.isShared = true
  const letters = ['1', '2'].map(userId => arrived.deadLetter({ userId, payload: arrived.payload! }, 'offline'))
  for (const letter of letters) {
    await new Promise(resolve => setImmediate(resolve))
    const { bytes, confirm } = published.shift()!
    t.equal(memory.bytes, before + bytes, 'one after the other')
    confirm()
    await letter
  }
  t.equal(memory.bytes, before)
})
