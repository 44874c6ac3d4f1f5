// What somebody else publishes between the instances.
import { once } from 'node:events'
import { connect } from 'amqplib'
import { test } from 'tap'
import type { TestBroker } from './support/broker.js'
import { eventually } from './support/eventually.js'
import { connectTo, startInstances } from './support/instances.js'
import { connectRich } from './support/rich-client.js'

interface Identity { readonly from: string, readonly inbox: string, readonly term: number, readonly seq: number }

/** What an instance calls itself, from what it sends to all. */
async function identify (broker: TestBroker, queue: string, count: number): Promise<Identity[]> {
  const { queue: own } = await broker.channel.assertQueue('', { exclusive: true, durable: false, arguments: { 'x-queue-type': 'classic' } })
  await broker.channel.bindQueue(own, `${queue}.relay`, '')
  const found = new Map<string, Identity>()
  const { consumerTag } = await broker.channel.consume(own, message => {
    const { from, inbox, term, seq } = JSON.parse(message!.content.toString())
    found.set(from, { from, inbox, term, seq })
  }, { noAck: true })
  await eventually(() => found.size === count, 'every instance has sent a beat')
  await broker.channel.cancel(consumerTag)
  await broker.channel.deleteQueue(own) // what is published to a queue while it goes is nacked
  return [...found.values()]
}

const numbers = Array.from({ length: 200 }, (_, n) => n + 1)

/** The worst of each kind, as if it came from a peer. */
const worst: ReadonlyArray<readonly [kind: string, way: 'all' | 'one', body: unknown, envelope?: object]> = [
  ['receipts', 'one', numbers.map(id => [id, 'acknowledged', 1])],
  ['receipts', 'one', numbers.map(id => [id, 'nobody', 0])],
  ['settled', 'one', numbers.map(id => [id, 'acknowledged'])],
  ['relay', 'one', [{ relay: 1_000, userId: '123', id: 'forged', json: '"forged"', position: 1 }]],
  ['relay', 'one', [{ relay: 1_001, userId: '123', id: 'forged', json: '"broken', position: 1 }]],
  ['broadcast', 'all', { id: 'forged', json: '"forged"' }],
  ['broadcast', 'all', { id: 'forged', json: '"broken' }],
  ['disconnect', 'all', { userId: '123', code: 4502, reason: 'forged' }],
  ['presence', 'all', { here: [], gone: ['123'] }, { seq: 2 }],
  ['presence', 'all', { here: [], gone: [], more: 0 }, { term: 1_000, seq: 1 }],
  ['state', 'one', { answers: 1, users: [], part: 0, more: 0 }, { term: 1_000 }],
  ['leave', 'all', null],
  ['beat', 'all', null, { seq: Number.MAX_SAFE_INTEGER }],
  ['hello', 'all', 1],
  ['synced', 'one', 1],
  ['mark', 'one', 1],
  ['wake', 'one', ['123']]
]

test('who does not have the login of the instances can make them do nothing', { timeout: 240_000 }, async t => {
  const { broker, queue, apps: [one, two] } = await startInstances(t, 2, { settle: 'acknowledged' })
  const client = await connectRich(t, two!.notifications('123'))
  const outcome = one!.app.notifier.notify('123', 'genuine')
  const [frame] = await client.framesReceived(1)
  const identities = await identify(broker, queue, 2)
  for (const { inbox } of identities) {
    for (const peer of identities) {
      for (const [kind, way, body, envelope] of worst) {
        const content = JSON.stringify({ v: 1, ...peer, kind, ...envelope, body })
        broker.channel.publish(`${queue}.relay`, way === 'all' ? '' : inbox, Buffer.from(content))
      }
    }
  }
  await broker.channel.waitForConfirms()
  for (const { app } of [one!, two!]) t.equal(await app.notifier.isOnline('nobody'), false) // a marker comes behind all of these
  t.equal(await one!.app.notifier.isOnline('123'), true)
  t.equal(two!.app.notifier.connections('123'), 1)
  client.ack(frame!.id!)
  t.match(await outcome, { outcome: 'acknowledged', connections: 1 })
  t.match(await one!.app.notifier.notify('nobody', 'x'), { outcome: 'offline' })
  t.match(client.frames, [{ content: 'genuine' }], 'nothing else has come')
  for (const { log } of [one!, two!]) t.same(log.lines.filter(({ msg }) => String(msg).startsWith('frame')).map(({ fault }) => fault), ['foreign'])
})

test('RabbitMQ refuses what states another user than the one who publishes it', async t => {
  const { broker, queue } = await startInstances(t, 1)
  const connection = await connect(broker.url)
  t.teardown(() => connection.close())
  const channel = await connection.createChannel()
  const closed = once(channel, 'error')
  channel.publish(`${queue}.relay`, '', Buffer.from('{}'), { userId: 'another' })
  t.match((await closed)[0], { code: 406 })
})

test('receipts for guessed numbers settle nothing, also with the login of the instances', { timeout: 240_000 }, async t => {
  const { broker, queue, apps: [one, two] } = await startInstances(t, 2, { settle: 'acknowledged' })
  const client = await connectRich(t, two!.notifications('123'))
  let isSettled = false
  const outcome = one!.app.notifier.notify('123', 'genuine').finally(() => { isSettled = true })
  const [frame] = await client.framesReceived(1)
  const identities = await identify(broker, queue, 2)
  for (const { inbox } of identities) {
    for (const state of ['acknowledged', 'sent', 'held', 'nobody']) {
      const forged = { v: 1, from: 'guessed', inbox, term: 1, seq: 1, kind: 'receipts', body: numbers.map(id => [id, state, 1]) }
      broker.channel.publish(`${queue}.relay`, inbox, Buffer.from(JSON.stringify(forged)), { userId: 'guest' })
    }
  }
  await broker.channel.waitForConfirms()
  await one!.app.notifier.isOnline('nobody')
  t.equal(isSettled, false)
  client.ack(frame!.id!)
  t.match(await outcome, { outcome: 'acknowledged', connections: 1 })
})

test('a content that is no JSON is dropped, also while its user connects, and counts as malformed', { timeout: 240_000 }, async t => {
  const { broker, queue, apps: [one] } = await startInstances(t, 1)
  const [{ inbox }] = await identify(broker, queue, 1) as [Identity]
  const send = (way: string, kind: string, body: unknown) => broker.channel.publish(`${queue}.relay`, way, Buffer.from(JSON.stringify({ v: 1, from: 'peer', inbox, term: 1, seq: 1, kind, body })), { userId: 'guest' })
  const clients = Array.from({ length: 20 }, async (_, n) => {
    for (let i = 0; i < 5; i++) send(inbox, 'relay', [{ relay: 5 * n + i + 1, userId: `user-${n}`, id: 'forged', json: '"broken', position: 1 }])
    return await connectTo(t, one!, `user-${n}`)
  })
  send('', 'broadcast', { id: 'forged', json: '"broken' })
  await Promise.all(clients)
  for (let n = 0; n < 20; n++) send(inbox, 'relay', [{ relay: 1_000 + n, userId: `user-${n}`, id: 'forged', json: '"broken', position: 1 }])
  await broker.channel.waitForConfirms()
  await one!.app.notifier.isOnline('nobody')
  for (const [n, client] of (await Promise.all(clients)).entries()) {
    await one!.app.notifier.notify(`user-${n}`, 'hi')
    t.same(await client.received(1), ['hi'])
  }
  t.same(one!.log.lines.filter(({ msg }) => /^frame|failed/.test(String(msg))).map(({ fault }) => fault), ['malformed'])
})
