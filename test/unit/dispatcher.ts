import { test } from 'tap'
import { Delivery } from '../../src/delivery/delivery.js'
import { endKept } from '../../src/delivery/hold-end.js'
import { compose } from '../../src/delivery/notification.js'
import type { Peers } from '../../src/delivery/peers.js'
import { call, MemoryExchange, MemoryMessage, MemoryStore, settleDown, startInstance } from '../support/core.js'

test('a plain client has a notification when it was sent', async t => {
  const { connect, deliver } = startInstance({ settle: 'sent' })
  const tabs = [connect('123', false), connect('123', false)]
  t.same(await deliver('a'), { outcome: 'sent', connections: 2 })
  for (const { sent } of tabs) t.same(sent, [{ id: 'a', redelivered: false }])
  t.same(await deliver('b', 'nobody'), { outcome: 'offline', connections: 0 })
})

test('with peers, a plain client of another instance has a notification too before it is settled', async t => {
  const exchange = new MemoryExchange()
  const [here, there] = [1, 2].map(() => startInstance({ settle: 'sent' }, { exchange }))
  const tabs = [here!.connect('123', false), there!.connect('123', false)]
  t.match(await here!.deliver('a'), { outcome: 'sent' })
  for (const { sent } of tabs) t.same(sent, [{ id: 'a', redelivered: false }])
})

test('with peers, what is sent here is settled at once if no peer is known to have the user, in order with what waits for room', async t => {
  const exchange = new MemoryExchange()
  const { connect, dispatcher } = startInstance({ settle: 'sent' }, { exchange })
  const tab = connect('123', false)
  const send = (id: string) => dispatcher.deliver(compose('123', id, id), new MemoryMessage())
  t.same(send('a'), { outcome: 'sent', connections: 1 })
  tab.isUsable = false
  const waiting = send('b')
  t.type(waiting, Promise)
  tab.isUsable = true
  const behind = send('c')
  connect('123', false)
  await Promise.all([waiting, behind])
  t.same(tab.sent.map(({ id }) => id), ['a', 'b', 'c'])
})

test('a notification is settled when the first client acknowledges it', async t => {
  const { connect, deliver, dispatcher } = startInstance()
  const tabs = [connect('123'), connect('123')]
  const result = deliver('a')
  await settleDown()
  dispatcher.acknowledged(tabs[1]!, ['a'])
  t.same(await result, { outcome: 'acknowledged', connections: 2 })
  t.same(tabs.map(({ unackedCount }) => unackedCount), [0, 0])
})

test('what a closed tab has not acknowledged goes to the next one, in order and marked', async t => {
  const { connect, deliver, disconnect, dispatcher } = startInstance({ maxUnacked: 2 })
  const first = connect('123')
  const results = ['a', 'b', 'c'].map(id => deliver(id))
  const second = connect('123')
  disconnect(first)
  await settleDown()
  t.same(second.sent, [{ id: 'c', redelivered: false }, { id: 'a', redelivered: true }], 'it had room for what waited')
  dispatcher.acknowledged(second, ['c', 'a'])
  await settleDown()
  dispatcher.acknowledged(second, ['b'])
  for (const result of results) t.match(await result, { outcome: 'acknowledged' })
})

/** Peers that never answer. */
const silentPeers: Peers = {
  areNone: () => false,
  have: () => false,
  sentHere () {},
  deliver () {},
  isAsking: () => false,
  unanswered: () => [],
  settled () {},
  failed () {},
  wake () {}
}

test('with a hold, what nobody acknowledged is kept, and delivered before anything newer', async t => {
  const store = new MemoryStore()
  const { connect, deliver, disconnect, dispatcher } = startInstance({ offline: 'hold' }, { store })
  const tab = connect('123')
  const first = deliver('a')
  await settleDown()
  disconnect(tab)
  t.match(await first, { outcome: 'held' })
  t.match(await deliver('b'), { outcome: 'held' })
  const back = connect('123')
  const newest = deliver('c')
  await settleDown()
  await settleDown()
  t.same(back.sent.map(({ id }) => id), ['a', 'b', 'c'])
  dispatcher.acknowledged(back, ['a', 'b', 'c'])
  await newest
  await settleDown()
  t.same(store.ids('123'), [])
})

test('what is not kept yet is waited for by what came later', async t => {
  const store = new MemoryStore()
  const { connect, deliver } = startInstance({ offline: 'hold' }, { store })
  let go = () => {}
  store.delay = () => new Promise(resolve => { go = resolve })
  deliver('first')
  store.delay = undefined
  await deliver('second')
  const tab = connect('123')
  await settleDown()
  t.same(tab.sent, [])
  go()
  await settleDown()
  await settleDown()
  t.same(tab.sent.map(({ id }) => id), ['first', 'second'])
})

test('the broker delivers a message again: it joins the delivery that is under way', async t => {
  const { connect, deliver, dispatcher, outcomes } = startInstance()
  const tab = connect('123')
  const lost = new MemoryMessage()
  const first = deliver('a', '123', lost)
  lost.lose()
  const again = deliver('a', '123', new MemoryMessage(true))
  await settleDown()
  t.equal(tab.sent.length, 1)
  dispatcher.acknowledged(tab, ['a'])
  t.match(await Promise.all([first, again]), [{ outcome: 'acknowledged' }, { outcome: 'acknowledged' }])
  t.same(outcomes.get('a'), ['acknowledged'])
})

test('the broker delivers a message again while peers are asked: the delivery says so, as somebody may have come', async t => {
  const { dispatcher } = startInstance()
  const asked: Delivery[] = []
  dispatcher.connect({ ...silentPeers, deliver: delivery => { asked.push(delivery) } })
  const message = new MemoryMessage()
  dispatcher.deliver(compose('123', 'a', 'a'), message)
  t.match(asked, [{ isRetaken: false }])
  message.lose()
  dispatcher.deliver(compose('123', 'a', 'a'), new MemoryMessage(true))
  t.match(asked, [{ isRetaken: true }])
})

test('a message that is held is settled when the peers are told, and a call at once', async t => {
  const { dispatcher } = startInstance({ offline: 'hold' }, { store: new MemoryStore() })
  const untold: Array<(() => void) | undefined> = []
  dispatcher.connect({
    ...silentPeers,
    deliver: delivery => dispatcher.peerListener.peersAnswered(delivery, false),
    wake: (_userId, told) => { untold.push(told) }
  })
  const settled: string[] = []
  const message = Promise.resolve(dispatcher.deliver(compose('123', 'a', 'a'), new MemoryMessage())).then(({ outcome }) => settled.push(`message ${outcome}`))
  await settleDown()
  t.match(settled, [])
  const called = dispatcher.deliver(compose('123', 'b', 'b'), call)
  t.match(await called, { outcome: 'held' })
  t.match(settled, [])
  t.equal(untold.length, 2, 'the peers are told of both')
  untold[0]!()
  await message
  t.same(settled, ['message held'])
})

test('no peer is told of what the hold has no room for', async t => {
  const store = new MemoryStore()
  store.add = async (_userId, { id }) => [id]
  const { dispatcher } = startInstance({ offline: 'hold' }, { store })
  dispatcher.connect({
    ...silentPeers,
    deliver: delivery => dispatcher.peerListener.peersAnswered(delivery, false),
    wake: () => t.fail('it is not held')
  })
  t.match(await dispatcher.deliver(compose('123', 'a', 'a'), new MemoryMessage()), { outcome: 'offline' })
})

/** An instance with a message that a connection has. `hold` puts it into the hold, because clients of a peer were too slow. */
async function startWithHolder (store: MemoryStore) {
  const { connect, deliver, dispatcher } = startInstance({ offline: 'hold' }, { store })
  let delivery!: Delivery
  dispatcher.connect({ ...silentPeers, deliver: asked => { delivery = asked }, wake: (_userId, told) => told?.() })
  const tab = connect('123')
  await settleDown()
  const result = deliver('a')
  return { tab, result, delivery, dispatcher, hold: () => dispatcher.peerListener.peerOverdue(delivery) }
}

test('what is held while a connection has it is removed from the hold when that one acknowledges it', async t => {
  const store = new MemoryStore()
  const { tab, result, dispatcher, hold } = await startWithHolder(store)
  hold()
  t.match(await result, { outcome: 'held' })
  await settleDown()
  t.equal(tab.sent.length, 1)
  t.equal(tab.unackedCount, 1)
  dispatcher.acknowledged(tab, ['a'])
  t.equal(tab.unackedCount, 0)
  await settleDown()
  t.same(store.ids('123'), [])
})

test('a connection is not waited for that has what the hold has no room for', async t => {
  const store = new MemoryStore()
  store.add = async (_userId, { id }) => [id]
  const { tab, result, hold } = await startWithHolder(store)
  hold()
  t.match(await result, { outcome: 'offline' })
  t.equal(tab.unackedCount, 0)
})

test('what a peer has settled while it was on its way into the hold is removed from there', async t => {
  const store = new MemoryStore()
  let go = () => {}
  const { delivery, result, dispatcher, hold } = await startWithHolder(store)
  store.delay = () => new Promise(resolve => { go = resolve })
  hold()
  dispatcher.peerListener.peerSettled(delivery, 'acknowledged', 1)
  t.match(await result, { outcome: 'acknowledged' })
  store.delay = undefined
  go()
  await settleDown()
  await settleDown()
  t.same(store.ids('123'), [])
})

test('what was settled while it was on its way into the hold is removed from there before a peer looks into it', t => {
  const delivery = new Delivery(compose('123', 'a', 'a'), new MemoryMessage(), 1, Infinity)
  delivery.settle('acknowledged')
  const removed: string[] = []
  const peers = { ...silentPeers, wake: () => t.fail('it would hand it out again') }
  endKept(delivery, 'held', { inFlight: { moveToHold () {} } as never, outcomes: { peers } as never, remove: (userId, id) => { removed.push(userId, id) } })
  t.same(removed, ['123', 'a'])
  t.end()
})

test('what the hold had already is not counted once more', t => {
  const delivery = new Delivery(compose('123', 'a', 'a'), new MemoryMessage(), 1, Infinity)
  const settle = (_delivery: Delivery, outcome: string) => t.equal(outcome, 'held')
  endKept(delivery, 'known', { inFlight: { moveToHold () {} } as never, outcomes: { settle } as never, remove: () => t.fail('it is held') })
  t.equal(delivery.circumstance, 'repeated')
  t.end()
})

test('one id taken by two instances whose tabs both leave is settled by both, as the offline policy says', async t => {
  const exchange = new MemoryExchange()
  const options = { offline: 'dead-letter' } as const
  const [one, two] = [startInstance(options, { exchange }), startInstance(options, { exchange })]
  const tabs = [one!.connect('123'), two!.connect('123')]
  const results = [one!.deliver('a'), two!.deliver('a')]
  await settleDown()
  await settleDown()
  one!.disconnect(tabs[0]!)
  two!.disconnect(tabs[1]!)
  t.match(await Promise.all(results), [{ outcome: 'dead-lettered' }, { outcome: 'dead-lettered' }])
})

test('while the application closes, what nobody can take is left to its source', async t => {
  const { deliver, dispatcher, outcomes } = startInstance({ offline: 'drop' })
  dispatcher.beginToClose()
  let isSettled = false
  deliver('a').then(() => { isSettled = true }, () => {})
  await settleDown()
  t.notOk(isSettled)
  t.same(outcomes.get('a'), undefined)
  t.match(await deliver('b', '123', call), { outcome: 'offline' }, 'a call has no source that keeps it')
})

for (const [isShared, hasPeers, clock] of [
  [false, false, 'a clock that never steps'], [true, false, 'the wall clock'], [false, true, 'the wall clock']
] as const) {
  test(`positions are by ${clock} where the store is ${isShared ? '' : 'not '}shared and there are ${hasPeers ? '' : 'no '}peers`, async t => {
    t.intercept(Date, 'now', { value: () => 1_000 }) // somebody has set the wall clock back by decades
    const store = new MemoryStore(isShared)
    const { deliver } = startInstance({ offline: 'hold' }, { store, ...hasPeers && { exchange: new MemoryExchange() } })
    t.match(await deliver('a'), { outcome: 'held' })
    const [held] = await store.read('123', undefined, 1)
    t.equal(held!.position === 1_000_000, clock === 'the wall clock')
  })
}
