import { Registry } from 'prom-client'
import { test, type Test } from 'tap'
import type { Decode, NotificationPluginOptions, ReceivedMessage } from '../src/index.js'
import { startApp, type TestApp } from './support/app.js'
import { useBroker, type TestBroker } from './support/broker.js'
import { connectClient, type TestClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { startProxy } from './support/proxy.js'

async function start (t: Test, decode: Decode, options: Partial<NotificationPluginOptions> = {}): Promise<TestApp & { broker: TestBroker, queue: string }> {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  return { ...await startApp(t, { amqpUrl: broker.url, queue, decode, ...options }), broker, queue }
}

/** What the dead letter says, and the detail in the log. */
async function rejection ({ broker, queue, log }: TestApp & { broker: TestBroker, queue: string }): Promise<{ reason: unknown, detail: unknown, logged: unknown }> {
  const { detail: logged } = await log.line('message dead-lettered')
  const [letter] = await broker.takeAll(`${queue}.dead`, 1)
  const { 'x-notification-reason': reason, 'x-notification-detail': detail } = letter!.properties.headers!
  return { reason, detail, logged }
}

test('decode is given the whole message, and what it returns is delivered', async t => {
  const given: ReceivedMessage[] = []
  const { broker, queue, notifications } = await start(t, message => {
    given.push(message)
    const { json, headers, properties } = message // without `this`
    return { userId: headers.user as number, content: [json(), properties.type], id: properties.messageId }
  })
  const client = await connectClient(t, notifications('123'))
  await broker.channel.bindQueue(queue, 'amq.topic', `${queue}.*`) // other test files publish to this exchange too
  const properties = { headers: { user: 123 }, type: 'order', messageId: 'm-1', contentType: 'application/json', timestamp: 1_700_000_000 }
  broker.channel.publish('amq.topic', `${queue}.shipped`, Buffer.from('{"order":7}'), properties)
  t.same(await client.received(1), ['[{"order":7},"order"]'])
  t.match(given, [{ exchange: 'amq.topic', routingKey: `${queue}.shipped`, queue, redelivered: false, properties }])
  t.equal(given[0]!.body.toString(), '{"order":7}')
  t.equal(given[0]!.json(), given[0]!.json(), 'parsed once')
})

test('decode may say that a message is for several users, for a group, or for everybody but some', async t => {
  const decoded = { several: { userIds: [1, '2', 'gone'] }, group: { group: 'g' }, others: { everybody: true, except: [1] } } as const
  const { app, broker, queue, notifications } = await start(t, ({ json }) => {
    const content = json() as keyof typeof decoded
    return { ...decoded[content], content }
  })
  const [one, two] = await Promise.all(['1', '2'].map(userId => connectClient(t, notifications(userId)))) as [TestClient, TestClient]
  await app.notifier.join('1', 'g')
  await broker.publish(queue, '"several"', '"group"', '"others"')
  t.same(await one.received(2), ['several', 'group'])
  t.same(await two.received(2), ['several', 'others'])
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  t.match(app.notifier.stats(), { sent: 4, offline: 1 })
  t.equal(one.messages.length, 2)
})

test('a message for which decode returns undefined is acked and counted as ignored, in statistics, metrics and journal', async t => {
  const metrics = new Registry()
  const { app, broker, queue, notifications } = await start(t, ({ json }) => (json() as { to?: number }).to === undefined ? undefined : { userId: 123, content: 'hi' }, { metrics, journal: 10 })
  const client = await connectClient(t, notifications('123'))
  await broker.publishWith({ messageId: 'm-1' }, queue, {}, { to: 123 })
  await client.received(1)
  t.match(app.notifier.stats(), { ignored: 1, sent: 1, offline: 0 })
  t.match(await metrics.metrics(), 'fastify_notification_messages_total{outcome="ignored"} 1')
  t.match(await metrics.metrics(), `fastify_notification_delivery_since_consumption_seconds_count{queue="${queue}",outcome="ignored"} 1`)
  t.match(app.notifier.trace({ id: 'm-1' })[0], { event: 'ignored', from: 'queue', queue, id: 'm-1' })
  await app.close()
  t.equal((await broker.channel.checkQueue(queue)).messageCount, 0, 'acked')
  t.equal((await broker.channel.checkQueue(`${queue}.dead`)).messageCount, 0)
})

for (const [how, decode] of [
  ['throws', () => { throw new RangeError('no such order: hush') }],
  ['returns a promise that rejects', async () => { throw new RangeError('no such order: hush') }]
] satisfies Array<[string, Decode]>) {
  test(`a message for which decode ${how} is dead-lettered with the text of the error, which is not logged`, async t => {
    const started = await start(t, decode)
    await started.broker.publish(started.queue, 'hush')
    t.same(await rejection(started), { reason: 'undecodable', detail: 'no such order: hush', logged: 'decode threw RangeError' })
    t.equal(started.app.notifier.stats().deadLettered.undecodable, 1)
    t.notMatch(JSON.stringify(started.log.lines), 'hush')
  })
}

for (const [what, thrown, detail, logged] of [
  ['an error without a text', new Error(''), 'decode threw Error', 'decode threw Error'],
  ['something that is no error', 'hush', 'hush', 'decode threw string'],
  ['undefined', undefined, 'undefined', 'decode threw undefined'],
  ['an error with a text of any length', new Error('x'.repeat(100_000)), 'x'.repeat(500), 'decode threw Error']
] as const) {
  test(`decode may throw ${what}`, async t => {
    const started = await start(t, () => { throw thrown })
    await started.broker.publish(started.queue, '{}')
    t.same(await rejection(started), { reason: 'undecodable', detail, logged })
  })
}

for (const [body, detail] of [
  ['', 'the body is empty'],
  ['{hush', 'the body is not JSON'],
  [Buffer.from([0x22, 0xff, 0x22]), 'the body is not UTF-8']
] as const) {
  test(`json() throws an error that quotes nothing: ${detail}`, async t => {
    const started = await start(t, ({ json }) => json() as never)
    await started.broker.publish(started.queue, body)
    t.same(await rejection(started), { reason: 'undecodable', detail, logged: detail })
  })
}

for (const [what, decoded, reason, detail] of [
  ['null', null, 'invalid-message', 'what decode returned is null: it must be an object with userId and content'],
  ['no user', { content: 'hi' }, 'invalid-message', 'userId is missing: give userId, userIds, group or everybody'],
  ['no content', { userId: '123' }, 'invalid-message', 'content is missing'],
  ['a content without a JSON form', { userId: '123', content: () => {} }, 'invalid-message', 'content has no JSON form, or is nested too deeply'],
  ['a content that refers to itself', { userId: '123', get content () { return this } }, 'invalid-message', 'content has no JSON form, or is nested too deeply'],
  ['a body over the limit', { userId: '123', content: 'hi' }, 'too-large', '2000 bytes, over the limit of 1000']
] as const) {
  test(`the dead letter says what is wrong with what decode returned: ${what}`, async t => {
    const started = await start(t, () => decoded as never, { limits: { messageBytes: 1_000 } })
    await started.broker.publish(started.queue, what.startsWith('a body') ? 'x'.repeat(2_000) : 'x')
    t.same(await rejection(started), { reason, detail, logged: detail })
  })
}

test('messages stay in the order of the queue, whichever promise of decode is fulfilled first', async t => {
  const waiting = new Map<number, () => void>()
  const { broker, queue, notifications } = await start(t, async ({ json }) => {
    const n = json() as number
    if (n % 3 !== 0) await new Promise<void>(resolve => waiting.set(n, resolve))
    if (n === 5) throw new Error('not this one')
    return n === 7 ? undefined : { userId: 123, content: n }
  }, { prefetch: 100 })
  const client = await connectClient(t, notifications('123'))
  await broker.publish(queue, ...Array.from({ length: 50 }, (_, n) => String(n)))
  await eventually(() => waiting.size === 33, 'all are being decoded')
  t.same(await client.received(1), ['0'], 'the first waits for nothing')
  for (const n of [...waiting.keys()].reverse()) {
    waiting.get(n)!()
    await new Promise(resolve => setImmediate(resolve))
  }
  t.same((await client.received(48)).map(Number), Array.from({ length: 50 }, (_, n) => n).filter(n => n !== 5 && n !== 7))
})

test('no more messages are decoded at a time than prefetch', async t => {
  let running = 0
  let most = 0
  const { broker, queue, notifications } = await start(t, async ({ json }) => {
    most = Math.max(most, ++running)
    await eventually(() => most >= 5, 'five at a time')
    await new Promise(resolve => setImmediate(resolve))
    running--
    return { userId: 123, content: json() }
  }, { prefetch: 5 })
  const client = await connectClient(t, notifications('123'))
  await broker.publish(queue, ...Array.from({ length: 100 }, (_, n) => String(n)))
  t.same((await client.received(100)).map(Number), Array.from({ length: 100 }, (_, n) => n))
  t.equal(most, 5)
})

test('a promise of decode that takes longer than limits.decodeTimeout dead-letters its message, and the next one is delivered', async t => {
  const started = await start(t, ({ json }) => json() === 'slow' ? new Promise(() => {}) : { userId: 123, content: json() }, { limits: { decodeTimeout: 50 } })
  const client = await connectClient(t, started.notifications('123'))
  await started.broker.publish(started.queue, '"slow"', '"next"')
  t.same(await client.received(1), ['next'])
  const detail = 'decode took longer than limits.decodeTimeout, 50 ms'
  t.same(await rejection(started), { reason: 'undecodable', detail, logged: detail })
})

test('a message whose channel dies while it is decoded is delivered once, when the broker delivers it again', async t => {
  const broker = await useBroker(t)
  const proxy = await startProxy(t, broker.url)
  const decoding: Array<() => void> = []
  const { app, queue, notifications } = await start(t, async ({ json, redelivered }) => {
    if (!redelivered) await new Promise<void>(resolve => decoding.push(resolve))
    return { userId: 123, content: json() }
  }, { amqpUrl: proxy.through(broker.url), reconnect: { initialDelay: 1 } })
  const client = await connectClient(t, notifications('123'))
  await broker.publish(queue, '1', '2')
  await eventually(() => decoding.length === 2, 'they are being decoded')
  proxy.reset('consumer')
  t.same(await client.received(2), ['1', '2'])
  for (const resolve of decoding) resolve()
  await eventually(() => app.notifier.stats().abandoned === 2, 'given up')
  t.match(app.notifier.stats(), { sent: 2 })
  t.same(client.messages, ['1', '2'])
})

test('what a hold in memory gives back at shutdown is understood by the next process, whatever its decode expects', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const options: NotificationPluginOptions = {
    amqpUrl: broker.url,
    queue,
    offline: 'hold',
    async decode ({ json }) {
      const { to, what } = json() as { to: number, what: unknown }
      return { userId: to, content: what }
    }
  }
  const first = await startApp(t, options)
  await broker.publish(queue, '{"to":123,"what":{"n":1}}', '{"to":123,"what":2.50}')
  await eventually(() => first.app.notifier.stats().held === 2, 'held')
  await first.app.close()
  const second = await startApp(t, options)
  const client = await connectClient(t, second.notifications('123'))
  await broker.publish(queue, '{"to":123,"what":3}')
  t.same(await client.received(3), ['{"n":1}', '2.5', '3'])
})
