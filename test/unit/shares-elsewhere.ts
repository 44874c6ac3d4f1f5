// Shares and deadlines of users whose clients are on other instances.
import { test, type Test } from 'tap'
import { Delivery } from '../../src/delivery/delivery.js'
import { FanOut } from '../../src/delivery/fan-out.js'
import { Groups } from '../../src/delivery/groups.js'
import { Multicast, Tally, type Summary } from '../../src/delivery/multicast.js'
import { compose, composePayload } from '../../src/delivery/notification.js'
import { connectOutbox, MemoryMessage, MemoryStore, settleDown, startInstance } from '../support/core.js'
import { eventually } from '../support/eventually.js'
import { moveClock } from '../support/move-clock.js'

const windowSize = { count: 100, bytes: Infinity }

/** An instance that takes messages, and a peer that has all users, for which the test answers. */
function startTaker (t: Test, offline: 'drop' | 'dead-letter' | 'hold') {
  const store = offline === 'hold' ? new MemoryStore() : undefined
  const instance = startInstance({ offline, ackTimeout: 30_000 }, { store, windowSize })
  const { outbox, relays, told, close } = connectOutbox(instance.dispatcher, true, 600_000)
  t.teardown(close)
  /** The numbers of the relays that were published until now. */
  const asked = async () => {
    await settleDown()
    for (const { answered } of relays) answered(true)
    return relays.flatMap(({ body }) => (JSON.parse(body) as Array<{ relay: number }>).map(({ relay }) => relay))
  }
  const outcomesOf = () => [...instance.outcomes.values()].flat()
  return { ...instance, outbox, store, told, asked, outcomesOf }
}

test('fault 90: with a hold, a user on another instance takes a quarter of the window; the rest is held at once', async t => {
  const { deliver, asked, outbox, store, outcomesOf } = startTaker(t, 'hold')
  for (let n = 0; n < 25; n++) deliver(`s${n}`, 'silent')
  const relays = await asked()
  t.equal(relays.length, 25)
  for (const relay of relays) outbox.receipt('peer', [relay, 'taken', 1])
  for (let n = 25; n < 60; n++) deliver(`s${n}`, 'silent')
  t.equal((await asked()).length, 25)
  await eventually(() => outcomesOf().length === 35, 'the others are held')
  t.same(store!.ids('silent'), Array.from({ length: 35 }, (_, n) => `s${n + 25}`))
  const result = deliver('g', 'good')
  t.equal((await asked()).length, 26)
  outbox.receipt('peer', [26, 'acknowledged', 1])
  t.match(await result, { outcome: 'acknowledged' })
})

for (const connections of [1, 0]) {
  test(`fault 90: what waits for clients on another instance gives way, and that instance is told (${connections === 1 ? 'they have it' : 'they have no room'})`, async t => {
    for (const [offline, outcome] of [['drop', 'offline'], ['dead-letter', 'dead-lettered'], ['hold', 'held']] as const) {
      const pass = moveClock(t)
      const { deliver, dispatcher, asked, outbox, told, outcomesOf } = startTaker(t, offline)
      for (let n = 0; n < 80; n++) deliver(`s${n}`, `user ${n % 4}`)
      const relays = await asked()
      pass(1_500)
      dispatcher.tick()
      t.same(outcomesOf(), [], `${offline}: only peers are waited for`)
      for (const relay of relays) outbox.receipt('peer', [relay, 'taken', connections])
      dispatcher.tick()
      await eventually(() => outcomesOf().length === 6, 'until a quarter of the window is free')
      t.ok(outcomesOf().every(each => each === outcome))
      t.equal(told.length, 6)
      dispatcher.tick()
      t.equal(outcomesOf().length, 6)
    }
  })
}

test('fault 91: what no client of a peer has acknowledged in time is given up, and no peer is asked again', async t => {
  for (const [offline, outcome] of [['drop', 'offline'], ['dead-letter', 'dead-lettered'], ['hold', 'held']] as const) {
    const { deliver, asked, outbox } = startTaker(t, offline)
    const result = deliver('a')
    t.same(await asked(), [1])
    outbox.receipt('peer', [1, 'taken', 1])
    outbox.receipt('peer', [1, 'overdue', 3])
    t.match(await result, { outcome, connections: 3 })
    t.same(await asked(), [1])
  }
})

test('fault 91: a guest has a deadline too, over all connections that it was handed to', async t => {
  const pass = moveClock(t)
  const { connect, disconnect, dispatcher } = startInstance({ ackTimeout: 30_000 }, { windowSize })
  const guest = new Delivery(compose('123', 'hi', 'a'), undefined, 0, Infinity, 'guest')
  let client = connect('123')
  const result = dispatcher.peerListener.host(guest)
  for (let n = 0; n < 4; n++) {
    pass(7_000)
    const next = connect('123')
    disconnect(client)
    client = next
    dispatcher.tick()
    t.same(client.sent.map(({ id }) => id), ['a'])
  }
  pass(3_000)
  dispatcher.tick()
  t.match(await result, { outcome: 'offline', connections: 5 })
  t.ok(guest.isOverdue)
  t.ok(client.isUsable, 'the last connection had not much time, and stays')
})

test('fault 91: a guest whose only connection was closed for it is overdue; one whose user has left in time is not', async t => {
  for (const isLate of [true, false]) {
    const pass = moveClock(t)
    const { connect, disconnect, dispatcher } = startInstance({ ackTimeout: 30_000 }, { windowSize })
    const guest = new Delivery(compose('123', 'hi', 'a'), undefined, 0, Infinity, 'guest')
    const client = connect('123')
    const result = dispatcher.peerListener.host(guest)
    pass(isLate ? 31_000 : 29_000)
    disconnect(client)
    t.match(await result, { outcome: 'offline' })
    t.equal(guest.isOverdue, isLate)
  }
})

for (const isGuest of [true, false]) {
  test(`fault 91: a guest that joins ${isGuest ? 'another guest' : 'a message of the queue'} has no more time than that one`, async t => {
    const pass = moveClock(t)
    const guest = () => new Delivery(compose('123', 'hi', 'a'), undefined, 0, Infinity, 'guest')
    for (const isClosed of [true, false]) {
      const { connect, deliver, disconnect, dispatcher } = startInstance({ ackTimeout: 30_000 }, { windowSize })
      let client = connect('123')
      const first = isGuest ? dispatcher.peerListener.host(guest()) : deliver('a')
      if (!isClosed) {
        pass(7_000)
        const next = connect('123')
        disconnect(client)
        client = next
      }
      const joining = guest()
      const result = dispatcher.peerListener.host(joining)
      pass(isClosed ? 31_000 : 24_000)
      if (isClosed) disconnect(client)
      else dispatcher.tick()
      t.match(await result, { outcome: 'offline' })
      t.match(await first, { outcome: 'offline' })
      t.ok(joining.isOverdue, 'its instance does not ask again')
    }
  })
}

test('fault 90: a message to many has its place in the window while clients on other instances have it, and they give way too', async t => {
  const pass = moveClock(t)
  const { dispatcher, subscribers } = startInstance({}, { windowSize: { count: 4, bytes: Infinity } })
  const fanOut = new FanOut({ dispatcher, everybody: subscribers, groups: new Groups(), observer: { fannedOut () {} } as never })
  const stopped: number[] = []
  let isWithPeers = false
  const ends: Array<(summary: Summary) => void> = []
  fanOut.peers = {
    deliver () {
      const number = ends.length
      const result = new Promise<Summary>(resolve => { ends.push(resolve) })
      return { result, get isWithPeers () { return isWithPeers }, stop: () => { stopped.push(number) } }
    },
    waiting: () => []
  }
  const deliver = async () => await fanOut.deliver(new Multicast({ group: undefined, except: new Set() }, composePayload('hi')), Object.assign(new MemoryMessage(), { isShared: true }))
  const results = Array.from({ length: 3 }, deliver)
  dispatcher.tick()
  t.same(stopped, [], 'they have a moment to acknowledge')
  pass(1_500)
  dispatcher.tick()
  t.same(stopped, [], 'the broker does not have them yet')
  isWithPeers = true
  dispatcher.tick()
  t.same(stopped, [0], 'the oldest; a quarter of the window is to be free')
  dispatcher.tick()
  t.same(stopped, [0, 0], 'again, as the first word may be lost')
  ends[0]!(Object.assign(new Tally(), { users: 1, outcomes: { offline: 1 } }))
  t.match(await results[0], { outcomes: { offline: 1 } })
  dispatcher.tick()
  t.same(stopped, [0, 0])
})

test('fault 90: when a peer says so, clients here are not waited for any more, for its messages to many alone', async t => {
  const { connect, dispatcher, subscribers } = startInstance({ maxUnacked: 2 }, { windowSize })
  const fanOut = new FanOut({ dispatcher, everybody: subscribers, groups: new Groups(), observer: { fannedOut () {} } as never })
  const clients = ['a', 'b'].map(userId => connect(userId))
  const everybody = { group: undefined, except: new Set<string>() }
  const payloads = ['1', '2', '3'].map(id => composePayload('hi', id))
  const results = payloads.map(async payload => await fanOut.deliverForPeer(everybody, payload, false))
  dispatcher.peerListener.stop(new Set([payloads[0]!, payloads[2]!]))
  t.match(await Promise.all([results[0], results[2]]), [{ users: 2, connections: 2, outcomes: { offline: 2 } }, { users: 2, connections: 0, outcomes: { offline: 2 } }], 'had, and had no room')
  for (const client of clients) dispatcher.acknowledged(client, ['1', '2', '3'])
  t.match(await results[1], { outcomes: { acknowledged: 2 } })
})

test('with a hold, what is newer is relayed too while no peer has taken what was relayed before: what is held would come first', async t => {
  const { deliver, asked, outcomesOf } = startTaker(t, 'hold')
  for (let n = 0; n < 60; n++) deliver(`s${n}`, 'silent')
  t.equal((await asked()).length, 60)
  t.same(outcomesOf(), [])
})

test('what waits for room is handed over when what is before it gives way, here and for a peer', async t => {
  const pass = moveClock(t)
  const { connect, deliver, dispatcher, subscribers } = startInstance({ maxUnacked: 1, ackTimeout: 30_000 }, { windowSize: { count: 4, bytes: Infinity } })
  const client = connect('a')
  for (const id of ['1', '2', '3']) deliver(id, 'a')
  t.same(client.sent.map(({ id }) => id), ['1'])
  pass(1_500)
  dispatcher.tick()
  t.same(client.sent.map(({ id }) => id), ['1', '2'])

  const fanOut = new FanOut({ dispatcher, everybody: subscribers, groups: new Groups(), observer: { fannedOut () {} } as never })
  const other = connect('b')
  const payloads = ['4', '5'].map(id => composePayload('hi', id))
  payloads.forEach(payload => fanOut.deliverForPeer({ group: undefined, except: new Set(['a']) }, payload, false))
  dispatcher.peerListener.stop(new Set([payloads[0]!]))
  t.same(other.sent.map(({ id }) => id), ['4', '5'])
})

test('a client elsewhere acknowledges what is being dead-lettered, and the dead letter fails: nothing is thrown', async t => {
  const pass = moveClock(t)
  const { dispatcher, deliver, asked, outbox } = startTaker(t, 'dead-letter')
  const fails: Array<(error: Error) => void> = []
  class Unlucky extends MemoryMessage {
    override async deadLetter (): Promise<void> {
      await new Promise<void>((_resolve, reject) => { fails.push(reject) })
    }
  }
  const results = Array.from({ length: 76 }, (_, n) => deliver(`m${n}`, 'u', new Unlucky()))
  for (const relay of await asked()) outbox.receipt('peer', [relay, 'taken', 1])
  pass(1_500)
  dispatcher.tick()
  outbox.receipt('peer', [1, 'acknowledged', 1])
  t.match(await results[0], { outcome: 'acknowledged' })
  fails[0]!(new Error('the channel is gone'))
  await settleDown() // an unhandled rejection would end the process
})
