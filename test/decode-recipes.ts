// The recipes of docs/recipes.md for messages of other systems, with messages as those systems publish them.
import { readFile } from 'node:fs/promises'
import { Type } from '@sinclair/typebox'
import type { Options } from 'amqplib'
import { test, type Test } from 'tap'
import { decodeJson, type Decode } from '../src/index.js'
import { startApp } from './support/app.js'
import { useBroker, type Body } from './support/broker.js'
import { eventually } from './support/eventually.js'
import { connectRich } from './support/rich-client.js'

type Message = [properties: Options.Publish, body: Body]

interface Delivered {
  /** The frames of the user 123. */
  readonly frames: Array<{ id?: string, content?: unknown }>
  /** The same, as they were written. */
  readonly texts: string[]
  readonly ignored: number
  /** The details of the dead letters. */
  readonly details: string[]
}

async function deliver (t: Test, decode: Decode, ...messages: Message[]): Promise<Delivered> {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, decode })
  const client = await connectRich(t, notifications('123'))
  for (const [properties, body] of messages) await broker.publishWith(properties, queue, body)
  const { notifier } = app
  const settled = () => {
    const { sent, offline, ignored, deadLettered } = notifier.stats()
    return sent + offline + ignored + Object.values(deadLettered).reduce((sum, count) => sum + count)
  }
  await eventually(() => settled() === messages.length, 'all are settled')
  const frames = await client.framesReceived(notifier.stats().sent)
  const letters = await broker.takeAll(`${queue}.dead`)
  return {
    frames,
    texts: client.messages.slice(1),
    ignored: notifier.stats().ignored,
    details: letters.map(({ properties }) => properties.headers!['x-notification-detail'])
  }
}

test('the recipe for CloudEvents takes both modes of the AMQP binding', async t => {
  const cloudEvents: Decode = ({ body, headers, properties: { contentType }, json }) => {
    if (contentType?.startsWith('application/cloudevents+json')) { // structured mode
      const { recipient, id, data } = json() as { recipient: string, id: string, data: unknown }
      return { userId: recipient, content: data, id }
    }
    const attribute = (name: string) => (headers[`cloudEvents:${name}`] ?? headers[`cloudEvents_${name}`]) as string
    return { userId: attribute('recipient'), content: body, id: attribute('id') }
  }

  const attributes = { specversion: '1.0', type: 'com.example.order.shipped', source: '/shop/orders', id: 'A234-1234-1234', time: '2026-04-05T17:31:00Z', recipient: '123' }
  const prefixed = (prefix: string) => Object.fromEntries(Object.entries(attributes).map(([name, value]) => [prefix + name, value]))
  const { frames, texts } = await deliver(t, cloudEvents,
    [{ contentType: 'application/cloudevents+json; charset=utf-8' }, { ...attributes, datacontenttype: 'application/json', data: { order: 7 } }],
    [{ contentType: 'application/json', headers: prefixed('cloudEvents:') }, '{"order":7,"total":12345678901234567890.50}'],
    [{ contentType: 'text/plain', headers: prefixed('cloudEvents_') }, '42']
  )
  t.match(frames, [{ id: attributes.id, content: { order: 7 } }, {}, { content: '42' }])
  t.match(texts[1], '"content":{"order":7,"total":12345678901234567890.50}', 'the data as it was written')
})

test('the recipe for NestJS takes the event that it names, and ignores others', async t => {
  const orderShipped = decodeJson(
    Type.Object({ data: Type.Object({ userId: Type.Integer(), order: Type.Integer() }) }),
    ({ data }) => ({ userId: data.userId, content: data })
  )
  const nestJs: Decode = message => {
    const { pattern } = message.json() as { pattern?: unknown }
    return pattern === 'order_shipped' ? orderShipped(message) : undefined
  }

  const { frames, ignored, details } = await deliver(t, nestJs,
    [{ headers: {} }, { pattern: 'order_shipped', data: { userId: 123, order: 7 } }],
    [{ replyTo: 'answers', correlationId: '9a2b' }, { pattern: { cmd: 'sum' }, data: [1, 2], id: '9a2b' }],
    [{}, { pattern: 'order_shipped', data: { userId: 'ada', order: 7 } }]
  )
  t.match(frames, [{ content: { userId: 123, order: 7 } }])
  t.equal(ignored, 1)
  t.same(details, ['data.userId: Expected integer'])
})

test('the recipe for MassTransit takes the message type that it names, with its id', async t => {
  const massTransit: Decode = ({ json }) => {
    const { messageId, messageType, message } = json() as { messageId: string, messageType: string[], message: { userId: number } }
    if (!messageType.includes('urn:message:Shop.Events:OrderShipped')) return undefined
    return { userId: message.userId, content: message, id: messageId }
  }

  const envelope = (type: string, message: object) => ({
    messageId: '00010000-0faa-0009-f0bd-08dc5d5b7a1c',
    requestId: null,
    correlationId: null,
    conversationId: '00010000-0faa-0009-f5ab-08dc5d5b7a1c',
    sourceAddress: 'rabbitmq://localhost/shop_bus?temporary=true',
    destinationAddress: 'rabbitmq://localhost/Shop.Events:OrderShipped',
    messageType: [`urn:message:Shop.Events:${type}`, 'urn:message:Shop.Events:IEvent'],
    message,
    sentTime: '2026-04-15T12:00:00.0000000Z',
    headers: { 'MT-Activity-Id': '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00' },
    host: { machineName: 'shop', processName: 'Shop', massTransitVersion: '8.2.0.0' }
  })
  const contentType = 'application/vnd.masstransit+json'
  const { frames, ignored } = await deliver(t, massTransit,
    [{ contentType, messageId: '00010000-0faa-0009-f0bd-08dc5d5b7a1c' }, envelope('OrderShipped', { userId: 123, order: 7 })],
    [{ contentType }, envelope('OrderPaid', { order: 7 })]
  )
  t.match(frames, [{ id: '00010000-0faa-0009-f0bd-08dc5d5b7a1c', content: { userId: 123, order: 7 } }])
  t.equal(ignored, 1)
})

test('the recipe for Celery takes the task that it names, of protocol 2', async t => {
  const celery: Decode = ({ headers, json }) => {
    if (headers.task !== 'shop.notify') return undefined
    const [[userId, content]] = json() as [args: [userId: number, content: unknown], kwargs: object, embed: object]
    return { userId, content, id: headers.id as string }
  }

  const id = '3f1b6b9a-4a1e-4f0c-9b7e-0e2d4a5c6b7d'
  const task = (name: string): Options.Publish => ({
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    correlationId: id,
    headers: { lang: 'py', task: name, id, root_id: id, parent_id: null, group: null, argsrepr: "(123, 'hi')", kwargsrepr: '{}', origin: 'gen1@shop', retries: 0 }
  })
  const embed = { callbacks: null, errbacks: null, chain: null, chord: null }
  const { frames, ignored } = await deliver(t, celery,
    [task('shop.notify'), [[123, 'hi'], {}, embed]],
    [task('shop.report'), [[], {}, embed]]
  )
  t.match(frames, [{ id, content: 'hi' }])
  t.equal(ignored, 1)
})

test('the recipe for headers passes the body on untouched, whatever it is', async t => {
  const headersOnly: Decode = ({ headers, body }) => ({ userId: headers['x-user-id'] as string, content: body })

  const headers = { 'x-user-id': '123' }
  const { frames, texts, details } = await deliver(t, headersOnly,
    [{ headers }, '{"total": 1E400, "id": 9007199254740993}'],
    [{ headers }, 'plain text'],
    [{ headers, contentType: 'text/plain' }, 'true'],
    [{ headers }, Buffer.from([0xff])],
    [{}, 'for whom?']
  )
  t.match(texts[0], '"content":{"total": 1E400, "id": 9007199254740993}')
  t.match(frames.slice(1), [{ content: 'plain text' }, { content: 'true' }])
  t.same(details.toSorted(), ['content is not UTF-8', 'userId is missing: give userId, userIds, group or everybody'])
})

test('the recipes of the documents for messages of other systems are those that are tested', async t => {
  const read = async (path: string) => await readFile(new URL(`../${path}`, import.meta.url), 'utf8')
  const section = (await read('docs/recipes.md')).split('\n## Messages of other systems')[1]!.split('\n## ')[0]!
  const recipes = [...section.matchAll(/```ts\n([^]*?)```/g)].flatMap(([, code]) => code!.trim().split('\n'))
  const own = (await read('test/decode-recipes.ts')).split('\n').map(line => line.trim())
  t.ok(recipes.length > 25, `${recipes.length}`)
  for (const line of recipes) t.ok(line.startsWith('import ') || own.includes(line.trim()), line)
})
