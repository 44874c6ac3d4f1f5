// What somebody else publishes between the instances.
import { once } from 'node:events'
import { connect } from 'amqplib'
import { test } from 'tap'
import type { FrameKind } from '../src/cluster/frames.js'
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

/** A body, and what is different in the envelope. */
type Forged = readonly [body: unknown, envelope?: object]

/** The worst of each kind, as if it came from a peer. No kind is left out: the type would be wrong. */
const worst: { readonly [Kind in FrameKind]: { readonly way: 'all' | 'one', readonly frames: readonly Forged[] } } = {
  receipts: { way: 'one', frames: [[numbers.map(id => [id, 'acknowledged', 1])], [numbers.map(id => [id, 'nobody', 0])]] },
  settled: { way: 'one', frames: [[numbers.map(id => [id, 'acknowledged'])]] },
  relay: {
    way: 'one',
    frames: [
      [[{ relay: 1_000, userId: '123', id: 'forged', json: '"forged"', position: 1 }]],
      [[{ relay: 1_001, userId: '123', id: 'forged', json: '"broken', position: 1 }]]
    ]
  },
  multicast: {
    way: 'one',
    frames: [
      [[{ relay: 1_000, id: 'forged', json: '"forged"' }, { relay: 1_001, id: 'forged', json: '"forged"', group: 'team' }]],
      [[{ relay: 1_002, id: 'forged', json: '"broken' }]]
    ]
  },
  stop: { way: 'one', frames: [[numbers.map(id => [id, 'stop'])]] },
  counted: { way: 'one', frames: [[numbers.map(id => [id, 'counted', 1, 1, { acknowledged: 1 }])]] },
  broadcast: { way: 'all', frames: [[{ id: 'forged', json: '"forged"' }], [{ id: 'forged', json: '"broken' }]] },
  membership: { way: 'all', frames: [[{ userId: '123', group: 'forged', joins: true }], [{ userId: '123', group: 'team', joins: false }]] },
  disconnect: { way: 'all', frames: [[{ userId: '123', code: 4502, reason: 'forged' }]] },
  signout: { way: 'all', frames: [[{ userId: '123', sessionId: 'phone', code: 4502, reason: 'forged' }]] },
  presence: { way: 'all', frames: [[{ here: [], gone: ['123'] }, { seq: 2 }], [{ here: [], gone: [], more: 0 }, { term: 1_000, seq: 1 }]] },
  state: { way: 'one', frames: [[{ answers: 1, users: [], part: 0, more: 0 }, { term: 1_000 }]] },
  leave: { way: 'all', frames: [[null]] },
  beat: { way: 'all', frames: [[null, { seq: Number.MAX_SAFE_INTEGER }]] },
  hello: { way: 'all', frames: [[1]] },
  synced: { way: 'one', frames: [[1]] },
  mark: { way: 'one', frames: [[1]] },
  wake: { way: 'one', frames: [[['123']]] }
}

test('fault 96: who does not have the login of the instances can make them do nothing', { timeout: 240_000 }, async t => {
  const authenticate = () => ({ userId: '123', sessionId: 'phone', groups: ['team'] })
  const { broker, queue, apps: [one, two] } = await startInstances(t, 2, { settle: 'acknowledged', authenticate })
  const client = await connectRich(t, two!.notifications('123'))
  const settled: string[] = []
  const outcome = one!.app.notifier.notify('123', 'genuine').finally(() => settled.push('genuine'))
  const ofTeam = one!.app.notifier.notifyGroup('team', 'for the team').finally(() => settled.push('for the team'))
  const frames = await client.framesReceived(2)
  const identities = await identify(broker, queue, 2)
  for (const { inbox } of identities) {
    for (const peer of identities) {
      for (const [kind, { way, frames }] of Object.entries(worst)) {
        for (const [body, envelope] of frames) {
          const content = JSON.stringify({ v: 1, ...peer, kind, ...envelope, body })
          broker.channel.publish(`${queue}.relay`, way === 'all' ? '' : inbox, Buffer.from(content))
        }
      }
    }
  }
  await broker.channel.waitForConfirms()
  for (const { app } of [one!, two!]) t.equal(await app.notifier.isOnline('nobody'), false) // a marker comes behind all of these
  t.equal(await one!.app.notifier.isOnline('123'), true)
  t.equal(two!.app.notifier.connections('123'), 1)
  t.same(settled, [])
  client.ack(...frames.map(({ id }) => id!))
  t.match(await outcome, { outcome: 'acknowledged', connections: 1 })
  t.match(await ofTeam, { users: 1, connections: 1, outcomes: { acknowledged: 1 } })
  t.match(await one!.app.notifier.notify('nobody', 'x'), { outcome: 'offline' })
  t.match(await one!.app.notifier.notifyGroup('forged', 'x'), { users: 0, connections: 0 })
  const again = one!.app.notifier.notifyGroup('team', 'again')
  client.ack((await client.framesReceived(3))[2]!.id!)
  t.match(await again, { users: 1, connections: 1, outcomes: { acknowledged: 1 } })
  t.same(client.frames.map(({ content }) => content), ['genuine', 'for the team', 'again'], 'nothing else has come')
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

test('fault 96: receipts for guessed numbers settle nothing, also with the login of the instances', { timeout: 240_000 }, async t => {
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

test('fault 96: instances answer into queues of theirs only, whatever inbox a frame states', { timeout: 240_000 }, async t => {
  const { broker, queue, apps: [one] } = await startInstances(t, 1)
  const [{ inbox }] = await identify(broker, queue, 1) as [Identity]
  const victim = broker.queueName()
  await broker.channel.assertQueue(victim)
  const send = (kind: string, body: unknown) => broker.channel.publish(`${queue}.relay`, inbox, Buffer.from(JSON.stringify({ v: 1, from: 'forged', inbox: victim, term: 1, seq: 1, kind, body })), { userId: 'guest' })
  send('hello', 1)
  send('relay', [{ relay: 1, userId: 'nobody', id: 'forged', json: '1', position: 1 }])
  await broker.channel.waitForConfirms()
  // Its answers have been published by then, whatever it thinks of that peer.
  for (let n = 0; n < 2; n++) await one!.app.notifier.isOnline('nobody').catch(() => {})
  t.equal((await broker.channel.checkQueue(victim)).messageCount, 0)
})

test('fault 95: a content that is no JSON is dropped, also while its user connects, and counts as malformed', { timeout: 240_000 }, async t => {
  const { broker, queue, apps: [one] } = await startInstances(t, 1)
  const [{ inbox }] = await identify(broker, queue, 1) as [Identity]
  const send = (way: string, kind: string, body: unknown) => broker.channel.publish(`${queue}.relay`, way, Buffer.from(JSON.stringify({ v: 1, from: 'peer', inbox, term: 1, seq: 1, kind, body })), { userId: 'guest' })
  const clients = Array.from({ length: 20 }, async (_, n) => {
    for (let i = 0; i < 5; i++) send(inbox, 'relay', [{ relay: 5 * n + i + 1, userId: `user-${n}`, id: 'forged', json: '"broken', position: 1 }])
    return await connectTo(t, one!, `user-${n}`)
  })
  send('', 'broadcast', { id: 'forged', json: '"broken' })
  send(inbox, 'multicast', [{ relay: 1, id: 'forged', json: '"broken' }])
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
