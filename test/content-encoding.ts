import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { test } from 'tap'
import { startApp } from './support/app.js'
import { useBroker, type Body } from './support/broker.js'
import { connectClient } from './support/client.js'
import { connectRich } from './support/rich-client.js'

const body = '{"userId":123,"content":"compressed"}'

const accepted: Array<[contentEncoding: string, body: Body]> = [
  ['gzip', gzipSync(body)],
  ['x-gzip', gzipSync(body)],
  ['GZIP', gzipSync(body)],
  ['gzip:UTF-8', gzipSync(body)],
  ['gzip, UTF-8', gzipSync(body)],
  ['deflate', deflateSync(body)],
  ['deflate', deflateRawSync(body)],
  ['br', brotliCompressSync(body)],
  ['gzip', gzipSync(`\ufeff${body}`)],
  ['identity', body],
  ['utf-8', body],
  ['', body]
]

test('a body is decompressed by its content-encoding, and a charset there is no encoding', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { notifications } = await startApp(t, { amqpUrl: broker.url, queue })
  const client = await connectClient(t, notifications('123'))
  for (const [contentEncoding, body] of accepted) await broker.publishWith({ contentEncoding }, queue, body)
  t.same(await client.received(accepted.length), accepted.map(() => 'compressed'))
})

test('decode is given the decompressed body', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { notifications } = await startApp(t, { amqpUrl: broker.url, queue, decode: ({ body }) => ({ userId: 123, content: body.toString() }) })
  const client = await connectClient(t, notifications('123'))
  await broker.publishWith({ contentEncoding: 'gzip' }, queue, gzipSync('hi'))
  t.same(await client.received(1), ['hi'])
})

const limit = 64 * 1024
const zeros = Buffer.alloc(128 * 1024 * 1024)

const refused: Array<[what: string, contentEncoding: string, body: Buffer, reason: string, detail: RegExp]> = [
  ['a bomb of gzip', 'gzip', gzipSync(zeros.subarray(0, 32 * 1024 * 1024)), 'too-large', /^over the limit of 65536 bytes, from \d+ bytes of gzip$/],
  ['a bomb of brotli', 'br', brotliCompressSync(zeros), 'too-large', /^over the limit of 65536 bytes, from \d+ bytes of br$/],
  ['a compressed body over the limit', 'gzip', Buffer.alloc(limit + 1), 'too-large', /^65537 bytes, over the limit of 65536$/],
  ['a body that is not compressed', 'gzip', Buffer.from(body), 'invalid-encoding', /^content-encoding is gzip, and the body is not gzip$/],
  ['a body that is cut off', 'gzip', gzipSync(body).subarray(0, -9), 'invalid-encoding', /^content-encoding is gzip, and the body is not gzip$/],
  ['an empty body', 'deflate', Buffer.alloc(0), 'invalid-encoding', /^content-encoding is deflate, and the body is not deflate$/],
  ['an unknown encoding', 'zstd', Buffer.from(body), 'invalid-encoding', /^content-encoding is 'zstd': it must be gzip, deflate or br, or left out$/],
  ['two encodings', 'gzip, br', Buffer.from(body), 'invalid-encoding', /^content-encoding is more than one: it must be gzip, deflate or br, or left out$/],
  ['an encoding that is no name', 'hush=hush', Buffer.from(body), 'invalid-encoding', /^content-encoding is something else: it must be gzip, deflate or br, or left out$/]
]

test('fault 65: a body that cannot be decompressed within the limit is dead-lettered as it came, with what is wrong', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { log } = await startApp(t, { amqpUrl: broker.url, queue, limits: { messageBytes: limit } })
  for (const [, contentEncoding, body] of refused) await broker.publishWith({ contentEncoding }, queue, body)
  const letters = await broker.takeAll(`${queue}.dead`, refused.length)
  for (const [what, contentEncoding, body, reason, detail] of refused) {
    const letter = letters.find(({ content, properties }) => content.equals(body) && properties.contentEncoding === contentEncoding)
    t.match(letter?.properties.headers, { 'x-notification-reason': reason, 'x-notification-detail': detail }, what)
  }
  t.notMatch(JSON.stringify(log.lines), 'hush')
})

const written = '{"a": 1E400, "b":[9007199254740993,-0,1.50], "c":"\\u00e9\\/", "a": 2.0}'

test('fault 64: a content that is not a string reaches a client as it was written, with numbers of any size and form', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { notifications } = await startApp(t, { amqpUrl: broker.url, queue, offline: 'hold' })
  const contents = [written, '1E400', '12345678901234567890.50', '-0', '[1.0,\n {"x":\t2e+2}]', 'null', 'true']
  const bodies = contents.map(content => `{"content":1, "id":null,"userId" : 123 ,"cont\\u0065nt":\n${content}\n,"other":{"content":7}}`)
  await broker.publish(queue, bodies[0]!) // held
  await broker.publish(queue, ...bodies.slice(1))
  const plain = await connectClient(t, notifications('123'))
  t.same(await plain.received(contents.length), contents)
  const rich = await connectRich(t, notifications('123'))
  await broker.publish(queue, ...bodies.map(body => `\ufeff${body}`))
  await rich.framesReceived(contents.length)
  for (const [n, content] of contents.entries()) t.ok(rich.messages[n + 1]!.includes(`"content":${content}`), `${n}`)
})

test('what decode passes on of json() unchanged reaches a client as it was written', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { notifications } = await startApp(t, {
    amqpUrl: broker.url,
    queue,
    decode ({ json }) {
      const { data } = json() as { data: { changed?: boolean } }
      if (data.changed === false) data.changed = true
      return { userId: 123, content: data }
    }
  })
  const client = await connectClient(t, notifications('123'))
  await broker.publish(queue, `{"data":${written}}`, '{"data":{"n":1.0,"changed":false}}')
  t.same(await client.received(2), [written, '{"n":1,"changed":true}'])
})
