// Deliveries of one id that meet: whoever joins has an outcome, and is told to the observers.
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import { Delivery } from '../../src/delivery/delivery.js'
import { compose } from '../../src/delivery/notification.js'
import { call, connectOutbox, MemoryMessage, MemoryStore, settleDown, startInstance } from '../support/core.js'
import { eventually } from '../support/eventually.js'
import { moveClock } from '../support/move-clock.js'

/** Longer than the outbox takes to look again. */
const LOOK = 700

/** An instance whose relays the test answers. */
function startWithOutbox (store?: MemoryStore) {
  const instance = startInstance({ offline: store === undefined ? 'drop' : 'hold' }, { ...store && { store } })
  return { ...instance, ...connectOutbox(instance.dispatcher, true, LOOK) }
}

test('what a peer has taken, and whose channel died, is delivered again when the broker does', async t => {
  const { close, connect, deliver, dispatcher, outbox, relays } = startWithOutbox()
  t.teardown(close)
  const first = new MemoryMessage()
  const lost = deliver('x', '123', first)
  await settleDown()
  relays.shift()!.answered(true)
  outbox.receipt('peer', [1, 'taken', 1])
  first.lose()
  await t.rejects(lost, { name: 'AbortError' })

  const again = deliver('x', '123', new MemoryMessage(true))
  await settleDown()
  t.equal(relays.length, 1, 'it is relayed again')
  const client = connect('123')
  relays.shift()!.answered(false)
  await settleDown()
  t.same(client.sent, [{ id: 'x', redelivered: true }])
  dispatcher.acknowledged(client, ['x'])
  t.match(await again, { outcome: 'acknowledged' })
})

test('what a peer has put into the hold, and comes from there, is not handed to the connection a second time', async t => {
  const store = new MemoryStore()
  const { close, connect, deliver, dispatcher, outbox, relays } = startWithOutbox(store)
  t.teardown(close)
  const pending = deliver('x')
  await settleDown()
  relays.shift()!.answered(true)
  outbox.receipt('peer', [1, 'taken', 1])
  await store.add('123', { id: 'x', content: '"x"', position: 5, expiresAt: Infinity }) // the receipt that says so is lost
  const client = connect('123')
  await settleDown()
  await delay(2 * LOOK + 500)
  for (const { answered } of relays) answered(false)
  await settleDown()
  t.match(await pending, { outcome: 'held' })
  dispatcher.acknowledged(client, ['x'])
  await settleDown()
  t.same(client.sent.map(({ id }) => id), ['x'])
  t.equal(client.unackedCount, 0)
  t.same(store.ids('123'), [])
})

test('a live notification whose connection ends unacknowledged is offline, and nobody is asked', async t => {
  const { close, connect, disconnect, dispatcher, relays, subscribers } = startWithOutbox()
  t.teardown(close)
  const client = connect('123')
  const result = dispatcher.deliverLive(compose('123', 'hello'), subscribers, call, false)
  disconnect(client)
  t.match(await result, { outcome: 'offline', connections: 1 })
  t.equal(relays.length, 0)
})

test('two peers ask for one notification, and one of them tells its outcome: the connection here has not to acknowledge it', async t => {
  const { connect, dispatcher: { peerListener } } = startInstance()
  const client = connect('123')
  const [one, two] = [1, 2].map(() => new Delivery(compose('123', 'x', 'x'), undefined, 1, Infinity, 'guest'))
  const result = peerListener.host(one!)
  peerListener.host(two!)
  t.equal(client.unackedCount, 1)
  peerListener.peerSettled(two!, 'acknowledged', 0)
  t.equal(client.unackedCount, 0)
  t.match(await result, { outcome: 'acknowledged' })
})

for (const [name, joins] of [['guest', true], ['guest that nobody takes', false]] as const) {
  test(`the observers are told the end of a ${name}`, async t => {
    const ends: unknown[] = []
    const { connect, deliver, dispatcher } = startInstance({}, { observed: (...told) => { ends.push(told) } })
    if (joins) {
      const client = connect('123')
      const own = deliver('x')
      const hosted = dispatcher.peerListener.host(new Delivery(compose('123', 'x', 'x'), undefined, 1, Infinity, 'guest'))
      dispatcher.acknowledged(client, ['x'])
      await Promise.all([own, hosted])
    } else await dispatcher.peerListener.host(new Delivery(compose('123', 'x', 'x'), undefined, 1, Infinity, 'guest'))
    await settleDown()
    t.same(ends, joins ? [['own', 'acknowledged'], ['guest', 'acknowledged']] : [['guest', 'offline']])
  })
}

test('each of two messages of one id, and a call of that id, has its end told', async t => {
  const ends: unknown[] = []
  const { connect, deliver, dispatcher } = startInstance({}, { observed: (...told) => { ends.push(told) } })
  const client = connect('123')
  const all = [deliver('x'), deliver('x'), deliver('x', '123', call)]
  dispatcher.acknowledged(client, ['x'])
  t.same((await Promise.all(all)).map(({ outcome }) => outcome), ['acknowledged', 'acknowledged', 'acknowledged'])
  await settleDown()
  t.same(ends, Array.from({ length: 3 }, () => ['own', 'acknowledged']))
})

test('a peer is asked although the channel has died, while a connection here has the notification: the message joins it', async t => {
  const { close, connect, deliver, outbox, relays } = startWithOutbox()
  t.teardown(close)
  connect('123')
  const first = new MemoryMessage()
  deliver('x', '123', first).catch(() => {})
  await settleDown()
  t.equal(relays.length, 1)
  first.lose()
  outbox.tick(true)
  relays.shift()!.answered(undefined)
  await eventually(() => relays.length === 1, 'the peer is asked again')
  deliver('x', '123', new MemoryMessage(true))
  await settleDown()
  t.equal(relays.length, 1)
})

test('what waits for a message whose channel has died does not wait for ever when its connection is closed for it', async t => {
  const pass = moveClock(t)
  const { connect, disconnect, dispatcher, subscribers } = startInstance({ ackTimeout: 30_000 })
  const client = connect('123')
  const message = new MemoryMessage()
  const own = dispatcher.deliverLive(compose('123', 'hi', 'x'), subscribers, message, false)
  const forPeer = dispatcher.deliverLive(compose('123', 'hi', 'x'), subscribers, undefined, true)
  message.lose()
  pass(31_000)
  disconnect(client)
  await t.rejects(Promise.resolve(own), { name: 'AbortError' })
  t.match(await forPeer, { outcome: 'offline' })
})
